//! The receipt file: what is read, what is refused, and that no bit of it is without meaning.

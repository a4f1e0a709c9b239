// What cannot be checked, and why.

/** Something that says nothing against the document or its receipt; `why` names a sentence of the page. */
export class Open extends Error {
  constructor(why) {
    super(why);
    this.why = why;
  }
}

//! The node of the Markstein ledger.
//!
//! From the wire to the disk and back: a submission is checked and made durable in the [`pool`], cut into blocks,
//! executed and stored by the [`ledger`], cosigned, and answered with receipts by the [`api`].

pub mod activity;
pub mod api;
pub mod check;
pub mod clock;
pub mod config;
pub mod diagnosis;
pub mod driver;
pub mod files;
pub mod finality;
pub mod ingress;
pub mod ledger;
pub mod messages;
pub mod metrics;
pub mod network;
pub mod network_view;
pub mod node;
pub mod peer;
pub mod pool;
pub mod refusal;
pub mod release;
pub mod repair;
pub mod server;
pub mod setup;
pub mod shares;
pub mod shutdown;
pub mod storage;
pub mod verified;
pub mod work;

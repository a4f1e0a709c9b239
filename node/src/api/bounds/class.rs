//! Kinds of requests, each with places of its own: who takes all of one kind takes nothing of another.

use axum::extract::Request;

use crate::api::{SMALL_REQUEST_MAX, http};

/// What is around a message of gRPC: whether it is compressed, and its length.
pub(super) const FRAME: usize = 5;
/// What a request may bring that is no submission: a message and what is around it.
const SMALL_UPLOAD_MAX: usize = SMALL_REQUEST_MAX + 1024;
/// What a request of health or of a page may bring: next to nothing, so that it need not be counted.
const TINY_UPLOAD_MAX: usize = 1024;

/// A kind of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Whether this node serves.
    Health,
    /// A batch, answered as soon as it is accepted.
    Submit,
    /// What is answered when a batch is decided.
    Wait,
    /// The pages, their files and what they show first.
    Page,
    /// All other reading, which ends by itself.
    Read,
    /// What goes on for as long as its caller likes.
    Endless,
}

/// What is known of a request before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) class: Class,
    pub(super) is_grpc: bool,
    /// Whether it brings a batch.
    pub(super) is_submission: bool,
    /// Most bytes of its body.
    pub(super) body_max: usize,
}

impl Class {
    /// Each of them, in the order of [`Class::index`].
    pub(super) const ALL: [Self; 6] =
        [Self::Health, Self::Submit, Self::Wait, Self::Page, Self::Read, Self::Endless];

    /// Places in all, and for one address. Where the two are the same a newcomer still is served: see [`crate::shares`].
    pub(super) const fn places(self) -> (u64, u64) {
        match self {
            Self::Health => (256, 64),
            Self::Submit => (2048, 2048),
            Self::Wait => (4096, 4096),
            Self::Page => (1024, 512),
            Self::Read => (1024, 512),
            Self::Endless => (256, 32),
        }
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Health => 0,
            Self::Submit => 1,
            Self::Wait => 2,
            Self::Page => 3,
            Self::Read => 4,
            Self::Endless => 5,
        }
    }

    fn of(path: &str) -> Self {
        match path {
            "/grpc.health.v1.Health/Check" => Self::Health,
            "/markstein.v1.Anchoring/Submit" | http::SUBMIT => Self::Submit,
            "/markstein.v1.Anchoring/SubmitAndWait" | "/markstein.v1.Anchoring/Watch" => Self::Wait,
            "/markstein.v1.Ledger/WatchBlocks" => Self::Endless,
            "/"
            | "/network"
            | "/openapi.json"
            | "/checkpoint"
            | "/v1/status"
            | "/v1/network"
            | "/v1/genesis"
            | "/v1/checkpoint"
            | "/markstein.v1.Operations/Status"
            | "/markstein.v1.Ledger/GetGenesis"
            | "/markstein.v1.Ledger/GetCheckpoint" => Self::Page,
            _ if path.starts_with("/web/") => Self::Page,
            _ if path.starts_with("/grpc.") => Self::Endless,
            _ => Self::Read,
        }
    }
}

impl Asked {
    /// Of this request.
    pub(super) fn of(request: &Request) -> Self {
        let path = request.uri().path();
        let is_grpc = path.starts_with("/markstein.v1.") || path.starts_with("/grpc.");
        let class = Class::of(path);
        let (is_submission, body_max) = match path {
            "/markstein.v1.Anchoring/Submit" | "/markstein.v1.Anchoring/SubmitAndWait" => {
                (true, crate::api::REQUEST_MAX + FRAME)
            }
            http::SUBMIT => (true, http::REQUEST_MAX),
            _ if matches!(class, Class::Health | Class::Page) => (false, TINY_UPLOAD_MAX),
            _ => (false, SMALL_UPLOAD_MAX),
        };
        Self { class, is_grpc, is_submission, body_max }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn what_is_asked_for_has_its_class() {
        for (path, class, is_grpc, is_submission) in [
            ("/grpc.health.v1.Health/Check", Class::Health, true, false),
            ("/grpc.health.v1.Health/Watch", Class::Endless, true, false),
            ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Class::Endless, true, false),
            ("/markstein.v1.Anchoring/Submit", Class::Submit, true, true),
            ("/markstein.v1.Anchoring/SubmitAndWait", Class::Wait, true, true),
            ("/markstein.v1.Anchoring/Watch", Class::Wait, true, false),
            ("/markstein.v1.Ledger/WatchBlocks", Class::Endless, true, false),
            ("/markstein.v1.Ledger/GetBlock", Class::Read, true, false),
            ("/markstein.v1.Operations/Status", Class::Page, true, false),
            ("/v1/batches", Class::Submit, false, true),
            ("/v1/batches/00", Class::Read, false, false),
            ("/", Class::Page, false, false),
            ("/web/app.js", Class::Page, false, false),
            ("/tile/0/000", Class::Read, false, false),
        ] {
            let asked = Asked::of(&Request::get(path).body(Body::empty()).unwrap());
            assert_eq!(
                (asked.class, asked.is_grpc, asked.is_submission),
                (class, is_grpc, is_submission),
                "{path}"
            );
            assert_eq!(asked.body_max > SMALL_UPLOAD_MAX, is_submission, "{path}");
        }
        for (number, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), number);
            let (all, each) = class.places();
            assert!(0 < each && each <= all);
        }
    }
}

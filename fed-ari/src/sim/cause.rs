//! Q.850 causes and SIP statuses, as chan_pjsip turns one into the other.

/// The cause of a leg that ended with this SIP status.
pub(crate) const fn of_status(status: u16) -> u16 {
    match status {
        401 | 403 | 407 | 603 => 21,
        404 | 485 | 604 => 1,
        408 => 18,
        409 => 41,
        410 => 22,
        480 | 483 => 19,
        484 => 28,
        486 | 600 => 17,
        488 | 606 => 58,
        500 => 38,
        502 => 27,
        503 => 34,
        504 => 102,
        _ => 127,
    }
}

/// The status that an unanswered caller gets for this cause.
pub(crate) const fn to_status(cause: u16) -> u16 {
    match cause {
        1..=3 => 404,
        17 => 486,
        18 => 408,
        19 | 20 | 31 => 480,
        21 => 403,
        22 => 410,
        27 => 502,
        28 => 484,
        29 => 501,
        34 | 42 | 66 => 503,
        38 | 127 => 500,
        58 => 488,
        _ => 603,
    }
}

/// The words of a status line.
pub(crate) const fn words(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        200 => "OK",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        603 => "Decline",
        _ => "Failure",
    }
}

//! Who is let in, and what is sealed.

use super::{Code, Explanation, row};

pub(super) static ROWS: &[Explanation] = &[
    row(
        Code::NotAuthenticated,
        "The call showed no token, or one that is not known here.",
        &[
            "the command runs as somebody who may not read the node's data folder",
            "it asks another machine without --token-file",
            "the token was revoked or has expired",
            "the node was started again: its own token is new then",
        ],
        &[
            "sudo -u fed-node fed-node status   (on the node's own machine)",
            "fed-node --token-file FILE status",
            "fed-node token create --role ROLE   (as an administrator)",
        ],
    ),
    row(
        Code::RoleTooSmall,
        "The role of the token does not hold this.",
        &[
            "a reader or operator asked for what an administrator may",
            "a token that holds at one node was shown to another",
        ],
        &[
            "fed-node help token   (what each role may)",
            "fed-node token create --role ROLE",
        ],
    ),
    row(
        Code::TooManyCalls,
        "One client made more calls than it may.",
        &[
            "a loop without a pause",
            "client.calls_per_s is too small for what the client does",
            "watches and other streams that are not ended, more than client.calls_at_once",
        ],
        &[
            "wait as long as the answer says, or end some streams",
            "raise client.calls_per_s or client.calls_at_once",
        ],
    ),
    row(
        Code::CredentialSealed,
        "A credential in the map is sealed, and this node cannot open it.",
        &[
            "security/cluster.key is missing, and no other node could be asked for it",
            "the file holds another federation's key",
        ],
        &[
            "fed-node status   (is another node up? this one asks it)",
            "copy security/cluster.key from another node, chmod 600, and start this one again",
        ],
    ),
    row(
        Code::SecretsUnusable,
        "A file or folder of secrets cannot be used.",
        &["others may read it", "it was changed by hand, or only half restored"],
        &[
            "chmod 700 DATA-FOLDER/security; chmod 600 DATA-FOLDER/security/*",
            "chown -R fed-node: DATA-FOLDER/security",
        ],
    ),
];

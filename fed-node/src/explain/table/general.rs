//! What a command ends with when nothing more exact is known, and the connection to a node.

use super::{Code, Explanation, row};

pub(super) static ROWS: &[Explanation] = &[
    row(
        Code::Failed,
        "The command failed for a reason that its text names.",
        &["a file, a terminal or a program outside the federation did not do its part"],
        &["read the text before the code; it names the object", "fed-node doctor"],
    ),
    row(
        Code::Usage,
        "The words of the command, or its input, are wrong. Nothing was tried.",
        &["a misspelt flag, a value out of range, a file that is not what it should be"],
        &["fed-node help COMMAND"],
    ),
    row(
        Code::Refused,
        "A rule of the federation stands against it. Nothing was changed.",
        &["the object is in use, or in another state than the change needs"],
        &["fed-node where NAME", "fed-node status"],
    ),
    row(
        Code::NotFound,
        "There is no such object.",
        &["a misspelt name", "it was removed by somebody else"],
        &["fed-node user list", "fed-node device list", "fed-node node list"],
    ),
    row(
        Code::Unavailable,
        "The node, or the federation, cannot serve this now. Nothing was changed.",
        &[
            "no majority of the nodes is up and reachable",
            "the node is starting or stopping",
        ],
        &["fed-node status", "fed-node doctor"],
    ),
    row(
        Code::OutcomeUnknown,
        "The answer did not come. The change may have happened, or may still.",
        &[
            "the connection broke after the request had gone out",
            "the leader died while it was at work",
        ],
        &[
            "look whether it is there: fed-node user show ID, fed-node device show ID",
            "repeat it only when it is not",
        ],
    ),
    row(
        Code::DriftFound,
        "The map and an Asterisk do not hold the same.",
        &[
            "something else than fed-node changed Asterisk's objects",
            "Asterisk was restarted a moment ago and is being filled",
        ],
        &[
            "fed-node drift   (again, half a minute later)",
            "if it stays: restart that fed-node, which compares everything",
        ],
    ),
    row(
        Code::NotAllCompared,
        "What could be compared agrees, but not every node could be.",
        &["a node or its Asterisk is down"],
        &["fed-node status", "bring the nodes named up, then repeat the command"],
    ),
    row(
        Code::CheckWarned,
        "A check found something that works today and should be mended.",
        &["see the findings above the code"],
        &["do what stands beside `mend`"],
    ),
    row(
        Code::CheckFailed,
        "A check found something that is broken.",
        &["see the findings above the code"],
        &["do what stands beside `mend`, the first one first"],
    ),
    row(
        Code::NoNodeThere,
        "Nobody answers at the address of the client API.",
        &[
            "fed-node does not run on this host",
            "it listens elsewhere: client.listen",
            "a firewall is between",
        ],
        &[
            "systemctl status fed-node",
            "fed-node run",
            "fed-node --server ADDRESS status",
        ],
    ),
    row(
        Code::NotAClientApi,
        "Something answers, but it is not the client API of this version.",
        &[
            "the address is that of the peers' port (7401) or of another program",
            "an older fed-node runs there",
        ],
        &["fed-node --server HOST:7400 status"],
    ),
    row(
        Code::ConnectionBroke,
        "The connection to the node broke.",
        &[
            "the node was stopped or killed",
            "the address belongs to something that does not speak this protocol",
        ],
        &["fed-node status", "fed-node --server HOST:7400 status"],
    ),
    row(
        Code::Malformed,
        "A request holds something that cannot be: an id, a number, a field.",
        &[
            "characters that are not allowed in an id or a number",
            "a value out of its range",
        ],
        &["the text names the field and what is allowed", "fed-node help COMMAND"],
    ),
    row(
        Code::ConfirmationMissing,
        "It cannot be undone, and nobody was there to confirm it. Nothing was changed.",
        &["the command runs in a script without --yes", "it was answered with no"],
        &["repeat it with --yes"],
    ),
    row(
        Code::PasswordUnusable,
        "The password could not be read, or is empty. Nothing was changed.",
        &[
            "an empty file or line",
            "two different answers at the prompt",
            "a file that everybody may read",
        ],
        &[
            "chmod o-rwx FILE",
            "printf '%s\\n' PASSWORD | fed-node user add ID --password-stdin",
        ],
    ),
    row(
        Code::WatchEnded,
        "What was followed ended before it was asked to.",
        &["the node is stopping", "the changes asked for are no longer kept"],
        &["go on at another node: fed-node --server ADDRESS watch --after REVISION"],
    ),
    row(
        Code::ImportStopped,
        "The file was not imported, or only a part of it.",
        &[
            "lines that contradict each other or the map",
            "the federation stopped taking changes half-way",
        ],
        &[
            "correct the lines named",
            "run the import again: it writes only what differs",
        ],
    ),
];

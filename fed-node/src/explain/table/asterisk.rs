//! Asterisk: ARI, the bridge, and its configuration files.

use super::{Code, Explanation, row};

pub(super) static ROWS: &[Explanation] = &[
    row(
        Code::AriUnreachable,
        "Asterisk's ARI cannot be reached.",
        &[
            "Asterisk does not run",
            "http.conf: enabled=no, or another port",
            "asterisk.url is wrong",
        ],
        &[
            "systemctl status asterisk",
            "fed-node asterisk-config --write",
            "asterisk -rx 'http show status'",
        ],
    ),
    row(
        Code::AriUnauthorized,
        "Asterisk does not accept the ARI user.",
        &[
            "another password than in ari.conf",
            "read_only=yes",
            "ari.conf was not read again",
        ],
        &[
            "fed-node asterisk-config --write",
            "asterisk -rx 'module reload res_ari.so'",
        ],
    ),
    row(
        Code::AriMissing,
        "Asterisk does not have the object.",
        &["it was deleted there", "Asterisk was restarted"],
        &["fed-node drift --here"],
    ),
    row(
        Code::AriRefused,
        "Asterisk understood the request and refused it.",
        &[
            "an attribute that this version does not know",
            "a type without a writable sorcery wizard",
        ],
        &["fed-node asterisk-config --write", "see Asterisk's log"],
    ),
    row(
        Code::AriTimeout,
        "Asterisk did not answer in time.",
        &[
            "Asterisk is overloaded or hangs",
            "it looks its own name up: no entry in /etc/hosts",
        ],
        &["fed-node doctor", "asterisk -rx 'core show threads'"],
    ),
    row(
        Code::AriMalformed,
        "What answered is no ARI that can be understood.",
        &["asterisk.url leads to another program"],
        &["curl -i ASTERISK-URL/ari/asterisk/info"],
    ),
    row(
        Code::MappingMissing,
        "Asterisk takes no objects of this type over ARI.",
        &[
            "sorcery.conf lacks `TYPE=memory`",
            "Asterisk was not restarted after asterisk-config",
        ],
        &["fed-node asterisk-config --write", "systemctl restart asterisk"],
    ),
    row(
        Code::ObjectInFile,
        "An object of this name stands in Asterisk's own files, which win.",
        &["a device that was configured by hand before"],
        &[
            "remove it from pjsip.conf and: asterisk -rx 'pjsip reload'",
            "or give the device another id",
        ],
    ),
    row(
        Code::ObjectRefused,
        "Asterisk refused to take an object.",
        &["an attribute that this version does not know"],
        &["see the text", "fed-node drift --here"],
    ),
    row(
        Code::SecondFedNode,
        "Another fed-node serves this Asterisk.",
        &["two services on one host", "a copied configuration"],
        &["stop the other one, or set asterisk.url"],
    ),
    row(
        Code::ApplicationTaken,
        "Another program uses the same Stasis application.",
        &["a program of yours is named `fed` as well"],
        &["set asterisk.app, then: fed-node asterisk-config --write"],
    ),
    row(
        Code::NodeNotInMap,
        "This node is not in the map, so its registrations do not count.",
        &["it has just joined", "its leaving was interrupted"],
        &["wait a moment", "fed-node leave ID   (finishes an interrupted leaving)"],
    ),
    row(
        Code::MapTakesNoChange,
        "The bridge has something to write and the map takes no changes now.",
        &["no quorum"],
        &["fed-node status"],
    ),
    row(
        Code::AsteriskSilent,
        "Asterisk is connected but gives no sign of life.",
        &["overload, or a deadlock"],
        &["asterisk -rx 'core show uptime'", "systemctl restart asterisk"],
    ),
    row(
        Code::SectionTaken,
        "A section that fed-node needs is there, written by somebody else.",
        &["another product uses the same name"],
        &["rename or remove that section, then: fed-node asterisk-config --write"],
    ),
    row(
        Code::MappedElsewhere,
        "Asterisk keeps these objects in a database first.",
        &["sorcery.conf maps them to realtime or astdb"],
        &["map the type to memory before the database in sorcery.conf"],
    ),
    row(
        Code::UnsafeName,
        "A name or password could change the meaning of a configuration file.",
        &["blanks, quotes or semicolons in it"],
        &["use letters, digits, - and _ only"],
    ),
    row(
        Code::BrokenMarkers,
        "The marker lines of fed-node's block are damaged.",
        &["the file was edited by hand"],
        &["remove both marker lines and what is between them, then: fed-node asterisk-config --write"],
    ),
    row(
        Code::AsteriskFileUnusable,
        "One of Asterisk's files cannot be read or written.",
        &["wrong permissions", "a dangling link, or no UTF-8"],
        &["ls -l /etc/asterisk", "the text says which file and why"],
    ),
];

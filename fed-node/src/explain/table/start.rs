//! Configuration, the data folder, and the start and end of a node.

use super::{Code, Explanation, row};

pub(super) static ROWS: &[Explanation] = &[
    row(
        Code::ConfigUnreadable,
        "The configuration file cannot be read, or is no TOML.",
        &[
            "a wrong path in --config or FED_CONFIG",
            "a quote or bracket is missing",
        ],
        &["fed-node example-config", "fed-node --config FILE doctor"],
    ),
    row(
        Code::ConfigUnknownKey,
        "There is no such key.",
        &["a misspelt key, in the file or as a FED_ variable"],
        &["fed-node example-config   (lists every key)"],
    ),
    row(
        Code::ConfigBadValue,
        "A value does not fit its key.",
        &["a number out of range, an address without a port"],
        &["fed-node example-config   (shows each key's values)"],
    ),
    row(
        Code::ConfigContradiction,
        "Two keys contradict each other.",
        &[
            "the same port twice",
            "election times that do not fit the heartbeat",
            "a password and a password file",
        ],
        &["change one of the keys named"],
    ),
    row(
        Code::SettingUnusable,
        "A setting of the cluster cannot be used.",
        &["times that do not fit together"],
        &["fed-node example-config"],
    ),
    row(
        Code::FolderEmpty,
        "The data folder holds no node yet.",
        &["this host is new", "another folder was meant: data_dir"],
        &[
            "fed-node init   (the first node)",
            "fed-node join TOKEN   (every other; `fed-node token join` on a running node prints the token)",
        ],
    ),
    row(
        Code::FolderOccupied,
        "The data folder holds a node already.",
        &["init or join was run before"],
        &["fed-node run", "fed-node init --data-dir OTHER"],
    ),
    row(
        Code::FolderOfOtherNode,
        "The data folder belongs to another node than node.id says.",
        &["a copied folder or configuration"],
        &["correct node.id or data_dir"],
    ),
    row(
        Code::FolderMixed,
        "The parts of the data folder come from different nodes.",
        &["single files were copied or restored"],
        &["restore the whole folder", "or empty it and: fed-node join TOKEN"],
    ),
    row(
        Code::FolderWiped,
        "The folder names a node, but its data is gone. It may not come back under its id: changes that it acknowledged could be lost.",
        &["a new or emptied disk"],
        &[
            "fed-node leave ID --yes   (at another node)",
            "empty the folder",
            "fed-node join TOKEN",
        ],
    ),
    row(
        Code::FolderInUse,
        "Another process has the data folder open.",
        &["fed-node runs already"],
        &["systemctl status fed-node"],
    ),
    row(
        Code::FormatNewer,
        "The data folder was written by a newer fed-node.",
        &["a downgrade"],
        &["install the version named, or a later one"],
    ),
    row(
        Code::LevelNewer,
        "The map holds what only newer programs understand.",
        &["a downgrade after all nodes had been upgraded"],
        &["install the version that wrote it, or a later one"],
    ),
    row(
        Code::FolderDamaged,
        "A file is damaged where no crash can have damaged it.",
        &["a failing disk", "somebody changed the file"],
        &[
            "take it out and in again: fed-node leave ID --yes at another node, empty the folder, fed-node join TOKEN",
            "or, where it is the only node left: fed-node backup restore FILE into an empty folder",
            "never put an older copy of the folder back: it has forgotten what it promised the others",
        ],
    ),
    row(
        Code::PeerAddressTaken,
        "The address for the other nodes cannot be listened on.",
        &[
            "another program, or another fed-node, has the port",
            "the address is not this host's",
        ],
        &["ss -ltnp | grep PORT", "change peer.listen"],
    ),
    row(
        Code::FolderUnusable,
        "A file or folder cannot be read or written.",
        &["wrong owner or permissions", "the disk is full or read-only"],
        &["ls -ld DIR", "chown -R fed-node: DIR", "df -h DIR"],
    ),
    row(
        Code::JoinRefused,
        "The federation did not take this node in.",
        &[
            "the seed cannot be reached, or there is no quorum there",
            "it speaks for another federation",
        ],
        &[
            "fed-node status   (on the node that gave the token out)",
            "fed-node token join   (there, for a new one)",
        ],
    ),
    row(
        Code::RecoveryUnfinished,
        "A recovery was begun in this folder and interrupted.",
        &["a crash during `recover --yes`"],
        &["fed-node recover --yes   (it goes on where it was)"],
    ),
    row(
        Code::NothingToRecover,
        "The folder never got anything from its federation.",
        &["the node had just joined"],
        &["run recover on another survivor"],
    ),
    row(
        Code::CoreFailed,
        "The consensus core did not start.",
        &["damage that was not noticed before", "a defect"],
        &[
            "fed-node doctor",
            "empty the folder and join again, after `fed-node leave ID` elsewhere",
        ],
    ),
    row(
        Code::ClientAddressTaken,
        "The address of the client API cannot be listened on.",
        &["another program has the port"],
        &["ss -ltnp | grep PORT", "change client.listen"],
    ),
    row(
        Code::RedirectAddressTaken,
        "The address of the SIP redirect server cannot be listened on.",
        &["another program has the port, over UDP or TCP"],
        &[
            "ss -lunp | grep PORT",
            "change redirect.listen and: fed-node asterisk-config --write",
        ],
    ),
    row(
        Code::AgiAddressTaken,
        "The address of the FastAGI server cannot be listened on.",
        &["another program has the port"],
        &[
            "ss -ltnp | grep PORT",
            "change agi.listen and: fed-node asterisk-config --write",
        ],
    ),
    row(
        Code::AriPasswordMissing,
        "There is no password for Asterisk's ARI.",
        &["asterisk-config --write was not run yet"],
        &[
            "fed-node asterisk-config --write",
            "asterisk.enabled = false   (a node without an Asterisk)",
        ],
    ),
    row(
        Code::NodeStopped,
        "The node had to stop by itself.",
        &["its disk failed or hung", "the consensus core ended"],
        &["journalctl -u fed-node -n 50", "fed-node doctor", "fed-node run"],
    ),
    row(
        Code::NodeRemoved,
        "This node was taken out of the federation.",
        &["fed-node leave, at another node, while this one was down"],
        &["empty the data folder", "fed-node join TOKEN   (it gets a new id)"],
    ),
    row(
        Code::DiskOrLogFailed,
        "run ended with status 70: the disk or the log failed, and nothing may be acknowledged that is not safe.",
        &["a failed fsync", "a disk that did not answer for 10 s"],
        &["dmesg | tail", "fed-node doctor", "fed-node run"],
    ),
    row(
        Code::CertificateOfOther,
        "The certificate was made for another node.",
        &[
            "a copied folder",
            "files of two nodes were mixed up",
            "a `fed-node recover --yes` that broke off",
        ],
        &[
            "use the certificate that was made for this data folder",
            "after a recovery that broke off: fed-node recover --yes   (again; it makes the certificate)",
        ],
    ),
    row(
        Code::CertificateUnusable,
        "The node's certificate or a key cannot be used.",
        &[
            "the node was made with security.plaintext, or by a version that had no certificates",
            "others may read a key",
            "a certificate of another node, or one that its authority does not stand for",
        ],
        &["chmod 600 FILE", "fed-node join TOKEN   (in an empty data folder)"],
    ),
    row(
        Code::TokenUnusable,
        "It is no join token.",
        &[
            "only a part of it was copied",
            "an address, where nodes have certificates",
        ],
        &["fed-node token join   (on a running node)"],
    ),
    row(
        Code::NodeNotBelieved,
        "What answers cannot prove that it is a node, or there is nothing to tell that by.",
        &[
            "this user may not read the node's data folder",
            "a node of another federation, or somebody in between",
            "another node than the one that was meant, perhaps one that was taken out; or the right one by a name that is not in its certificate",
            "the node has no certificates: security.plaintext",
        ],
        &[
            "fed-node --ca FILE status   (FILE: a copy of security/ca.crt of a node's data folder)",
            "fed-node --server localhost:9400 --server-name pbx1 status   (through a tunnel: the host in the node's certificate)",
            "fed-node --server http://127.0.0.1:7400 status   (a node with security.plaintext)",
        ],
    ),
    row(
        Code::FolderOutOfDate,
        "This node has lost entries that it had confirmed to the others.",
        &[
            "its data folder, or the whole machine, was put back to an older copy",
            "another process runs on a copy of the folder",
            "a disk that says it has written and has not",
        ],
        &[
            "stop the other process, if there is one",
            "fed-node leave NODE   (at another node)",
            "empty the data folder",
            "fed-node join TOKEN   (it gets a new id)",
        ],
    ),
];

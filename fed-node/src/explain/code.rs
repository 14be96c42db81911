//! The codes: one for each kind of error, with a number that never changes its meaning.

use std::fmt;
use std::str::FromStr;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// A kind of error. Shown as `FED-0080`; a number is never used again for anything else.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Code { $($(#[$doc])* $name = $number,)* }

        impl Code {
            /// Every code, by number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

codes! {
    /// The command failed for a reason that its text names.
    Failed = 1,
    /// The words of the command, or its input, are wrong. Nothing was tried.
    Usage = 2,
    /// A rule of the federation stands against it. Nothing was changed.
    Refused = 3,
    /// There is no such object.
    NotFound = 4,
    /// The node, or the federation, cannot serve this now. Nothing was changed.
    Unavailable = 5,
    /// The answer did not come. The change may have happened, or may still.
    OutcomeUnknown = 6,
    /// The map and an Asterisk do not hold the same.
    DriftFound = 7,
    /// What could be compared agrees, but not every node could be.
    NotAllCompared = 8,
    /// A check found something that works today and should be mended.
    CheckWarned = 9,
    /// A check found something that is broken.
    CheckFailed = 10,
    /// Nobody answers at the address of the client API.
    NoNodeThere = 11,
    /// Something answers, but it is not the client API of this version.
    NotAClientApi = 12,
    /// The connection to the node broke.
    ConnectionBroke = 13,
    /// A request holds something that cannot be: an id, a number, a field.
    Malformed = 14,
    /// It cannot be undone, and nobody was there to confirm it. Nothing was changed.
    ConfirmationMissing = 15,
    /// The password could not be read, or is empty. Nothing was changed.
    PasswordUnusable = 16,
    /// What was followed ended before it was asked to.
    WatchEnded = 17,
    /// The file was not imported, or only a part of it.
    ImportStopped = 18,
    /// The configuration file cannot be read, or is no TOML.
    ConfigUnreadable = 20,
    /// There is no such key.
    ConfigUnknownKey = 21,
    /// A value does not fit its key.
    ConfigBadValue = 22,
    /// Two keys contradict each other.
    ConfigContradiction = 23,
    /// A setting of the cluster cannot be used.
    SettingUnusable = 30,
    /// The data folder holds no node yet.
    FolderEmpty = 31,
    /// The data folder holds a node already.
    FolderOccupied = 32,
    /// The data folder belongs to another node than node.id says.
    FolderOfOtherNode = 33,
    /// The parts of the data folder come from different nodes.
    FolderMixed = 34,
    /// The folder names a node, but its data is gone. It may not come back under its id: changes that it acknowledged could be lost.
    FolderWiped = 35,
    /// Another process has the data folder open.
    FolderInUse = 36,
    /// The data folder was written by a newer fed-node.
    FormatNewer = 37,
    /// The map holds what only newer programs understand.
    LevelNewer = 38,
    /// A file is damaged where no crash can have damaged it.
    FolderDamaged = 39,
    /// The address for the other nodes cannot be listened on.
    PeerAddressTaken = 40,
    /// A file or folder cannot be read or written.
    FolderUnusable = 41,
    /// The federation did not take this node in.
    JoinRefused = 42,
    /// A recovery was begun in this folder and interrupted.
    RecoveryUnfinished = 43,
    /// The folder never got anything from its federation.
    NothingToRecover = 44,
    /// The consensus core did not start.
    CoreFailed = 45,
    /// The address of the client API cannot be listened on.
    ClientAddressTaken = 46,
    /// The address of the SIP redirect server cannot be listened on.
    RedirectAddressTaken = 47,
    /// The address of the FastAGI server cannot be listened on.
    AgiAddressTaken = 48,
    /// There is no password for Asterisk's ARI.
    AriPasswordMissing = 49,
    /// The node had to stop by itself.
    NodeStopped = 50,
    /// This node was taken out of the federation.
    NodeRemoved = 51,
    /// run ended with status 70: the disk or the log failed, and nothing may be acknowledged that is not safe.
    DiskOrLogFailed = 52,
    /// The certificate was made for another node.
    CertificateOfOther = 53,
    /// The node's certificate or a key cannot be used.
    CertificateUnusable = 54,
    /// It is no join token.
    TokenUnusable = 55,
    /// What answers cannot prove that it is a node, or there is nothing to tell that by.
    NodeNotBelieved = 56,
    /// This node has lost entries that it had confirmed to the others.
    FolderOutOfDate = 57,
    /// There is one of that name already.
    AlreadyThere = 60,
    /// Somebody else changed the object after it was read. Nothing was changed.
    ChangedMeanwhile = 61,
    /// The number, alias or id already leads to another user.
    NumberTaken = 62,
    /// A name that must be one of a kind belongs to another object.
    NameInUse = 63,
    /// The object does not exist.
    ObjectMissing = 64,
    /// A field holds what it may not.
    FieldInvalid = 65,
    /// A device needs a user that exists.
    UserMissing = 66,
    /// The node's session is not open: what it reports does not count.
    SessionEnded = 67,
    /// The device is registered at another node since.
    BoundElsewhere = 68,
    /// The realm cannot be changed while there are devices: their digests contain it.
    RealmBound = 69,
    /// The request is too old: what became of it is no longer remembered.
    RequestForgotten = 70,
    /// No leader was found in time. Nothing was changed.
    NoLeader = 80,
    /// Too much is waiting. Nothing was changed.
    Overloaded = 81,
    /// The disk is nearly full: only what makes the map smaller is taken.
    LowSpace = 82,
    /// The change is larger than one log entry may be.
    TooLarge = 83,
    /// Not all nodes understand this change yet.
    LevelTooLow = 84,
    /// The change could not be encoded, or the leader could not read it.
    CommandUnreadable = 85,
    /// The node asked is stopping.
    Stopping = 86,
    /// The change was not acknowledged in time. It may have happened, or may still.
    WriteUnknown = 87,
    /// No majority confirmed the read in time.
    ReadNoQuorum = 88,
    /// This node has not reached that revision yet.
    ReadBehind = 89,
    /// The node's store failed or holds what cannot be read.
    StoreDamaged = 90,
    /// The members were not changed: the rest would not be safe, or the node is not what the change needs.
    MembersRefused = 91,
    /// The members were not changed: no leader was found in time.
    MembersNoLeader = 92,
    /// The change of members was not confirmed in time. It may have happened, or may still.
    MembersUnknown = 93,
    /// It is no member of the federation.
    NoMember = 94,
    /// The member cannot be reached from the node asked.
    MemberUnreachable = 95,
    /// The member does not know the question.
    MemberTooOld = 96,
    /// The member was asked and could not answer.
    MemberFailed = 97,
    /// This is the last node: it cannot leave.
    LastNode = 98,
    /// The node is up, so it is not taken out from elsewhere.
    NodeStillUp = 99,
    /// The node is out of the map, but may still be a member.
    HalfLeft = 100,
    /// Asterisk's ARI cannot be reached.
    AriUnreachable = 110,
    /// Asterisk does not accept the ARI user.
    AriUnauthorized = 111,
    /// Asterisk does not have the object.
    AriMissing = 112,
    /// Asterisk understood the request and refused it.
    AriRefused = 113,
    /// Asterisk did not answer in time.
    AriTimeout = 114,
    /// What answered is no ARI that can be understood.
    AriMalformed = 115,
    /// Asterisk takes no objects of this type over ARI.
    MappingMissing = 120,
    /// An object of this name stands in Asterisk's own files, which win.
    ObjectInFile = 121,
    /// Asterisk refused to take an object.
    ObjectRefused = 122,
    /// Another fed-node serves this Asterisk.
    SecondFedNode = 123,
    /// Another program uses the same Stasis application.
    ApplicationTaken = 124,
    /// This node is not in the map, so its registrations do not count.
    NodeNotInMap = 125,
    /// The bridge has something to write and the map takes no changes now.
    MapTakesNoChange = 126,
    /// Asterisk is connected but gives no sign of life.
    AsteriskSilent = 127,
    /// A section that fed-node needs is there, written by somebody else.
    SectionTaken = 130,
    /// Asterisk keeps these objects in a database first.
    MappedElsewhere = 131,
    /// A name or password could change the meaning of a configuration file.
    UnsafeName = 132,
    /// The marker lines of fed-node's block are damaged.
    BrokenMarkers = 133,
    /// One of Asterisk's files cannot be read or written.
    AsteriskFileUnusable = 134,
    /// The call showed no token, or one that is not known here.
    NotAuthenticated = 140,
    /// The role of the token does not hold this.
    RoleTooSmall = 141,
    /// One client made more calls than it may.
    TooManyCalls = 142,
    /// A credential in the map is sealed, and this node cannot open it.
    CredentialSealed = 143,
    /// A file or folder of secrets cannot be used.
    SecretsUnusable = 144,
}

impl Code {
    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FED-{:04}", self.number())
    }
}

/// There is no such code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no code {0:?}: write it as FED-0080; `fed-node explain` lists them all")]
pub struct NoSuchCode(String);

impl FromStr for Code {
    type Err = NoSuchCode;

    /// Takes `FED-0080`, `fed-80` and `80`.
    fn from_str(text: &str) -> Result<Self, NoSuchCode> {
        let plain = text
            .trim()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_uppercase();
        let number: Option<u16> = plain.strip_prefix("FED-").unwrap_or(&plain).parse().ok();
        let code = Self::ALL.iter().find(|code| Some(code.number()) == number);
        code.copied().ok_or_else(|| NoSuchCode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_it_is_shown() {
        for code in Code::ALL {
            assert_eq!(code.to_string().parse(), Ok(*code));
        }
        assert_eq!("fed-80".parse(), Ok(Code::NoLeader));
        assert_eq!("[FED-0080]".parse(), Ok(Code::NoLeader));
        assert!("FED-9999".parse::<Code>().is_err());
    }

    #[test]
    fn numbers_are_unique_and_in_order() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
    }
}

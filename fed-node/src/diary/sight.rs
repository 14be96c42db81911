//! The federation as one node sees it at a moment, and what happened between two such moments. Pure.

use std::collections::BTreeMap;

use fed_core::ids::NodeId;

/// How a member is, as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its fed-node and its Asterisk are healthy.
    Up,
    /// The federation has ended its session, and it does not answer.
    Down,
    /// It answers; its Asterisk does not.
    AsteriskDown,
    /// It answers, and has no session yet.
    Starting,
    /// It does not answer this node, and nobody has found it to be down.
    NotHeard,
}

impl State {
    /// As the protocol and the tables say it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::AsteriskDown => "asterisk_down",
            Self::Starting => "starting",
            Self::NotHeard => "not_heard",
        }
    }
}

/// The Asterisk of a member as that says itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AsteriskSeen {
    /// It works, or the node has none.
    pub works: bool,
    /// What is wrong, in words.
    pub trouble: String,
}

/// One member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its name, or `node 5` where the map has none.
    pub name: String,
    /// Whether it votes.
    pub voter: bool,
    /// Whether the map has an open session of it.
    pub session: bool,
    /// Whether it answered lately; this node always does.
    pub heard: bool,
    /// What it says of its Asterisk; none when it was never heard.
    pub asterisk: Option<AsteriskSeen>,
}

impl Seen {
    /// Without a quorum the sessions in the map are of the past: only what was heard counts.
    #[must_use]
    pub fn state(&self, quorum: bool) -> State {
        let asterisk_down = self.asterisk.as_ref().is_some_and(|asterisk| !asterisk.works);
        match (quorum, self.session, self.heard) {
            (true, true, true) => State::Up,
            (true, false, true) if asterisk_down => State::AsteriskDown,
            (true, false, true) => State::Starting,
            (true, false, false) => State::Down,
            (false, _, true) if asterisk_down => State::AsteriskDown,
            (false, _, true) => State::Up,
            (_, _, false) => State::NotHeard,
        }
    }
}

/// The federation at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Who looks.
    pub here: NodeId,
    /// Whether a majority is in touch with this node.
    pub quorum: bool,
    /// Who leads; none without a quorum.
    pub leader: Option<NodeId>,
    /// In which term.
    pub term: u64,
    /// Who led last, and in which term, as far as this node remembers; [`super::Diary`] keeps it.
    pub led: Option<(NodeId, u64)>,
    /// Everybody.
    pub members: BTreeMap<NodeId, Seen>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// As the protocol lists them.
    pub kind: &'static str,
    /// The node or device it is about.
    pub subject: String,
    /// What happened.
    pub text: String,
    /// Why, as far as this node can tell; else empty.
    pub why: String,
}

impl Happening {
    /// A happening without a reason.
    #[must_use]
    pub fn new(kind: &'static str, subject: &str, text: impl Into<String>) -> Self {
        Self {
            kind,
            subject: subject.to_owned(),
            text: text.into(),
            why: String::new(),
        }
    }

    /// With its reason.
    #[must_use]
    pub fn because(self, why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            ..self
        }
    }
}

impl Sight {
    /// A member's name.
    #[must_use]
    pub fn name(&self, id: NodeId) -> String {
        self.members
            .get(&id)
            .map_or_else(|| format!("node {id}"), |seen| seen.name.clone())
    }

    /// What happened since an earlier moment; none: this is the first look.
    #[must_use]
    pub fn since(&self, before: Option<&Self>) -> Vec<Happening> {
        let here = self.name(self.here);
        let Some(before) = before else {
            let mut first = vec![Happening::new("started", &here, format!("{here} started"))];
            first.extend(self.leader.map(|leader| self.new_leader(leader, None)));
            return first;
        };
        let mut found = Vec::new();
        if before.quorum && !self.quorum {
            found.push(self.quorum_lost());
        }
        if !before.quorum && self.quorum {
            let text = format!("{here} is in touch with a majority again");
            found.push(Happening::new("quorum_back", &here, text));
        }
        if let Some(leader) = self.leader
            && before.led != Some((leader, self.term))
        {
            found.push(self.new_leader(leader, Some(before)));
        }
        self.members_since(before, &mut found);
        found
    }

    fn quorum_lost(&self) -> Happening {
        let here = self.name(self.here);
        let silent: Vec<&str> = self
            .members
            .values()
            .filter(|seen| seen.voter && !seen.heard)
            .map(|seen| seen.name.as_str())
            .collect();
        let why = match silent.as_slice() {
            [] => "the voters answer, but none leads".to_owned(),
            [one] => format!("{one} does not answer"),
            many => format!("{} do not answer", many.join(", ")),
        };
        Happening::new(
            "quorum_lost",
            &here,
            format!("{here} is no longer in touch with a majority"),
        )
        .because(why)
    }

    fn new_leader(&self, leader: NodeId, before: Option<&Self>) -> Happening {
        let name = self.name(leader);
        let why = match before.and_then(|before| before.led).map(|(last, _)| last) {
            None => String::new(),
            Some(last) if last == leader => "it was elected again: nobody else was heard in time".to_owned(),
            Some(last) => match self.members.get(&last) {
                None => format!("node {last}, which led before, has left"),
                Some(seen) if seen.heard => {
                    format!(
                        "{}, which led before, answers: it handed over, or was not heard in time",
                        seen.name
                    )
                }
                Some(seen) => format!("{}, which led before, does not answer", seen.name),
            },
        };
        Happening::new("leader", &name, format!("{name} leads, term {}", self.term)).because(why)
    }

    fn members_since(&self, before: &Self, found: &mut Vec<Happening>) {
        for (id, then) in &before.members {
            if !self.members.contains_key(id) {
                found.push(Happening::new(
                    "member_left",
                    &then.name,
                    format!("{} left the federation", then.name),
                ));
            }
        }
        for (id, now) in &self.members {
            let name = &now.name;
            let Some(then) = before.members.get(id) else {
                found.push(Happening::new("member_joined", name, format!("{name} joined")));
                continue;
            };
            match (then.voter, now.voter) {
                (false, true) => found.push(Happening::new("promoted", name, format!("{name} votes"))),
                (true, false) => found.push(Happening::new("demoted", name, format!("{name} no longer votes"))),
                _ => {}
            }
            found.extend(changed(then.state(before.quorum), now, now.state(self.quorum)));
        }
    }
}

fn changed(then: State, seen: &Seen, now: State) -> Option<Happening> {
    if then == now {
        return None;
    }
    let name = &seen.name;
    let trouble = || {
        seen.asterisk
            .as_ref()
            .map(|asterisk| asterisk.trouble.clone())
            .unwrap_or_default()
    };
    Some(match (then, now) {
        // Who was down is not heard either: that is no news.
        (State::Down, State::NotHeard) => return None,
        (State::AsteriskDown, State::Up | State::Starting) => {
            Happening::new("asterisk_up", name, format!("Asterisk {name} is up"))
        }
        // Its Asterisk has been said to be up when it began to start.
        (State::Starting, State::Up) | (_, State::Up) => Happening::new("node_up", name, format!("{name} is up")),
        (_, State::AsteriskDown) => {
            Happening::new("asterisk_down", name, format!("Asterisk {name} is down")).because(trouble())
        }
        (_, State::Down) => {
            Happening::new("node_down", name, format!("{name} is down")).because("it gives no sign of life")
        }
        (_, State::Starting) => {
            Happening::new("heard", name, format!("{name} answers")).because("it has no session yet")
        }
        (_, State::NotHeard) => Happening::new("silent", name, format!("{name} does not answer")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str) -> Seen {
        Seen {
            name: name.to_owned(),
            voter: true,
            session: true,
            heard: true,
            asterisk: Some(AsteriskSeen {
                works: true,
                trouble: String::new(),
            }),
        }
    }

    fn sight() -> Sight {
        Sight {
            here: NodeId(1),
            quorum: true,
            leader: Some(NodeId(2)),
            term: 3,
            led: Some((NodeId(2), 3)),
            members: (1..=3).map(|id| (NodeId(id), seen(&format!("n{id}")))).collect(),
        }
    }

    fn kinds(happenings: &[Happening]) -> Vec<&str> {
        happenings.iter().map(|happening| happening.kind).collect()
    }

    #[test]
    fn without_a_quorum_only_who_was_heard_counts() {
        let mut member = seen("n2");
        assert_eq!((member.state(true), member.state(false)), (State::Up, State::Up));
        member.heard = false;
        assert_eq!(
            (member.state(true), member.state(false)),
            (State::NotHeard, State::NotHeard),
            "its open session in the map says nothing without a quorum"
        );
        member.session = false;
        assert_eq!(
            (member.state(true), member.state(false)),
            (State::Down, State::NotHeard)
        );
        member.heard = true;
        assert_eq!(member.state(true), State::Starting);
        member.asterisk = Some(AsteriskSeen::default());
        assert_eq!(member.state(true), State::AsteriskDown);
    }

    #[test]
    fn an_election_is_told_with_what_became_of_the_leader_before() {
        let before = sight();
        let mut now = before.clone();
        now.leader = Some(NodeId(3));
        now.term = 4;
        let told = now.since(Some(&before));
        assert_eq!(kinds(&told), ["leader"]);
        assert!(told[0].why.contains("n2, which led before, answers"), "{told:?}");
        now.members.get_mut(&NodeId(2)).unwrap().heard = false;
        let told = now.since(Some(&before));
        assert_eq!(kinds(&told), ["leader", "silent"]);
        assert!(told[0].why.contains("does not answer"), "{told:?}");
        let mut blind = before.clone();
        blind.leader = None;
        assert!(
            before.since(Some(&blind)).is_empty(),
            "the same leader in the same term is no election"
        );
        now.led = Some((NodeId(3), 4));
        assert!(now.since(Some(&now)).is_empty(), "nothing happened");
    }

    #[test]
    fn nodes_and_their_asterisks_come_and_go() {
        let before = sight();
        let mut now = before.clone();
        now.members.remove(&NodeId(3));
        let second = now.members.get_mut(&NodeId(2)).unwrap();
        second.session = false;
        second.asterisk = Some(AsteriskSeen {
            works: false,
            trouble: "no answer".to_owned(),
        });
        now.members.insert(NodeId(4), seen("n4"));
        let told = now.since(Some(&before));
        assert_eq!(kinds(&told), ["member_left", "asterisk_down", "member_joined"]);
        assert_eq!(told[1].why, "no answer");
        assert_eq!(
            kinds(&before.since(Some(&now))),
            ["member_left", "asterisk_up", "member_joined"]
        );
    }

    #[test]
    fn a_lost_quorum_names_who_is_silent() {
        let before = sight();
        let mut now = before.clone();
        (now.quorum, now.leader) = (false, None);
        for id in [2, 3] {
            now.members.get_mut(&NodeId(id)).unwrap().heard = false;
        }
        let told = now.since(Some(&before));
        assert_eq!(kinds(&told), ["quorum_lost", "silent", "silent"]);
        assert_eq!(told[0].why, "n2, n3 do not answer");
    }

    #[test]
    fn the_first_look_tells_the_start_and_who_leads() {
        assert_eq!(kinds(&sight().since(None)), ["started", "leader"]);
    }
}

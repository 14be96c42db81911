//! A phone of a statement: scripted at a simulated Asterisk, a real one at a real Asterisk.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use fed_ari::sim::{self, CallOutcome, PhoneScript, Registration, SimAsterisk};
use fed_tests::{
    lab::Namespace,
    phone::{self, Behaviour, Transport},
};

use super::register;
use crate::common::PATIENCE;

/// How long a phone talks that hangs up itself.
const TALK: Duration = Duration::from_millis(100);

/// What a phone does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Answer,
    AnswerAndHangUp,
    /// Rings until it is cancelled.
    Ring,
    Refuse(u16),
}

/// How a call went, as its caller's phone heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Answer,
    Refusal {
        status: u16,
        /// Q.850, from the Reason header; 0 without one.
        cause: u16,
    },
}

pub(crate) fn refusal(cause: u16, status: u16) -> Heard {
    Heard::Refusal { status, cause }
}

/// A phone.
pub(crate) enum Handset {
    Sim {
        sim: Arc<SimAsterisk>,
        device: String,
        contact: String,
    },
    Real {
        phone: phone::Phone,
        server: SocketAddr,
        habit: Habit,
    },
}

impl Handset {
    pub(super) fn sim(sim: Arc<SimAsterisk>, device: &str, transport: Transport) -> Self {
        let more = match transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
        };
        Self::Sim {
            sim,
            device: device.to_owned(),
            contact: format!("sip:{device}@192.0.2.1:5060{more}"),
        }
    }

    /// A real phone beside that server: whoever knows its contact can call it, registered or not.
    pub(super) fn real(server: SocketAddr, device: &str, transport: Transport) -> Self {
        let phone = phone::Phone::new(&Namespace::here(), server.ip(), device, register::PASSWORD, transport)
            .expect("a phone's sockets");
        let habit = Habit::of(&phone);
        Self::Real { phone, server, habit }
    }

    /// What it registers.
    pub(crate) fn contact(&self) -> String {
        match self {
            Self::Sim { contact, .. } => contact.clone(),
            Self::Real { phone, .. } => phone.contact(),
        }
    }

    /// Registers for ten minutes, or with false takes that back.
    pub(crate) async fn register(&self, on: bool) {
        let seconds = if on { 600 } else { 0 };
        match self {
            Self::Sim { sim, device, contact } => {
                let registration = Registration {
                    expires: Duration::from_secs(seconds),
                    ha1: Some(register::ha1(device)),
                    ..Registration::new(device, contact)
                };
                assert_eq!(sim.register_with(registration), sim::RegisterOutcome::Ok);
            }
            Self::Real { phone, server, .. } => {
                let (phone, server) = (phone.clone(), *server);
                on_a_thread(move || phone.register_for(server, seconds as u32).map(drop))
                    .await
                    .expect("registers");
            }
        }
    }

    /// Sets what it does with calls from now on.
    pub(crate) fn does(&self, what: Does) {
        match self {
            Self::Sim { sim, device, .. } => {
                let after = Duration::from_millis(20);
                let script = match what {
                    Does::Answer => PhoneScript::Answer { after },
                    Does::AnswerAndHangUp => PhoneScript::AnswerFor { after, talk: TALK },
                    Does::Ring => PhoneScript::Ring,
                    Does::Refuse(486) => PhoneScript::Busy,
                    Does::Refuse(status) => PhoneScript::Refuse { status, after },
                };
                sim.phone(device, script);
            }
            Self::Real { phone, habit, .. } => {
                phone.behave(match what {
                    Does::Answer | Does::AnswerAndHangUp => Behaviour::Answer,
                    Does::Ring => Behaviour::Ring,
                    Does::Refuse(status) => Behaviour::Refuse(status),
                });
                habit.hangs_up.store(what == Does::AnswerAndHangUp, Ordering::SeqCst);
            }
        }
    }

    /// Calls.
    pub(crate) async fn call(&self, dialled: &str) -> Placed {
        match self {
            Self::Sim { sim, device, .. } => Placed::Sim(sim.call(device, dialled)),
            Self::Real { phone, server, .. } => {
                let (phone, server, dialled) = (phone.clone(), *server, dialled.to_owned());
                let call = on_a_thread(move || phone.call(server, &dialled)).await;
                Placed::Real(Some(Box::new(call.expect("the INVITE is answered"))))
            }
        }
    }

    /// How many calls have reached it.
    pub(crate) fn calls(&self) -> usize {
        match self {
            Self::Sim { sim, device, .. } => sim.rings().iter().filter(|(rang, _)| rang == device).count(),
            Self::Real { phone, .. } => phone.invites() as usize,
        }
    }
}

/// A real phone's own thread: it ends what was answered or cancelled, as its person would.
pub(crate) struct Habit {
    hangs_up: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl Habit {
    fn of(phone: &phone::Phone) -> Self {
        let habit = Self {
            hangs_up: Arc::default(),
            over: Arc::default(),
        };
        let (phone, hangs_up, over) = (phone.clone(), Arc::clone(&habit.hangs_up), Arc::clone(&habit.over));
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let Ok(call) = phone.incoming(Duration::from_millis(50)) else {
                    continue;
                };
                let hangs_up = hangs_up.load(Ordering::SeqCst);
                // A call of its own each, so that the next one does not wait; what fails shows in the statement.
                thread::spawn(move || {
                    if hangs_up {
                        // Before the other side has its answer confirmed, it may not know the call it is to end.
                        let _ = call.wait_acknowledged(PATIENCE);
                        // Nothing waits for this: a person who hangs up does so some time after the answer, whenever that is.
                        thread::sleep(TALK);
                        let _ = call.hang_up();
                    } else {
                        let _ = call.wait_end(PATIENCE);
                    }
                });
            }
        });
        habit
    }
}

impl Drop for Habit {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// A call on its way; dropping it gives it up.
pub(crate) enum Placed {
    Sim(sim::Call),
    /// Lent to a thread while something is waited for.
    Real(Option<Box<phone::Call>>),
}

impl Placed {
    /// Waits until it rings; false where it ends first.
    pub(crate) async fn rings(&mut self) -> bool {
        match self {
            Self::Sim(call) => call.rings().await,
            Self::Real(lent) => with(lent, |call| call.wait_ringing(PATIENCE).is_ok()).await,
        }
    }

    /// Waits until it is answered or refused.
    pub(crate) async fn heard(&mut self) -> Heard {
        match self {
            Self::Sim(call) => match call.outcome().await {
                CallOutcome::Answered { .. } => Heard::Answer,
                CallOutcome::Failed { q850, sip_status } => refusal(q850, sip_status),
            },
            Self::Real(lent) => {
                with(lent, |call| match call.wait_answer(PATIENCE) {
                    Ok(_) => Heard::Answer,
                    Err(why) => {
                        let ended = call.wait_refusal(Duration::ZERO).unwrap_or_else(|_| panic!("{why:#}"));
                        refusal(ended.cause().unwrap_or(0), ended.status)
                    }
                })
                .await
            }
        }
    }

    /// The caller hangs up, or gives up while it rings.
    pub(crate) async fn hang_up(&mut self) {
        match self {
            Self::Sim(call) => call.hang_up(),
            Self::Real(lent) => {
                with(lent, |call| match call.answered {
                    Some(_) => call.hang_up(),
                    None => call.cancel().map(drop),
                })
                .await
                .expect("the server confirms");
            }
        }
    }

    /// Waits until the other side has hung up.
    pub(crate) async fn over(&mut self) {
        match self {
            Self::Sim(call) => call.over().await,
            Self::Real(lent) => drop(with(lent, |call| call.wait_hang_up(PATIENCE)).await.expect("a BYE")),
        }
    }
}

async fn with<T: Send + 'static>(
    lent: &mut Option<Box<phone::Call>>,
    what: impl FnOnce(&mut phone::Call) -> T + Send + 'static,
) -> T {
    let mut call = lent.take().expect("the call is not lent");
    let (call, result) = on_a_thread(move || {
        let result = what(&mut call);
        (call, result)
    })
    .await;
    *lent = Some(call);
    result
}

/// The phones wait on the thread they are asked on.
pub(crate) async fn on_a_thread<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(what).await.expect("no panic")
}

//! Comparing until it succeeds, while phones go on registering.

use tokio::sync::mpsc;

use super::{
    BridgeFault, Phase,
    link::{ContactEvent, Life, PAUSES, continue_after},
    resync::{ResyncError, resync},
};

impl Life {
    /// Compares what is to be compared until that succeeds. Only what Asterisk does not answer is a reason to give up.
    ///
    /// Begins when all steps under way are done. Cut off from the map this lasts as long as that; what phones do meanwhile is noted with the
    /// moment it was told, so that the comparison can tell a registration that is new from one that is old. The events that it has not
    /// settled are given back, to be followed after.
    pub(super) async fn compare(
        &self,
        contacts: &mut mpsc::UnboundedReceiver<ContactEvent>,
    ) -> Result<Vec<ContactEvent>, BridgeFault> {
        let mut missed: Vec<ContactEvent> = Vec::new();
        loop {
            tokio::select! {
                biased;
                Some(event) = contacts.recv() => {
                    if !self.observer.is_own(&event) {
                        missed.push(event);
                    }
                }
                () = self.observer.settle() => break,
            }
        }
        // Not before: a step that was under way would forget what is noted of its device.
        for event in &missed {
            self.observer.note(event);
        }
        self.status.send_modify(|status| status.phase = Phase::Reconciling);
        let attempts = self.compare_until_done();
        tokio::pin!(attempts);
        loop {
            tokio::select! {
                biased;
                Some(event) = contacts.recv() => {
                    if !self.observer.is_own(&event) {
                        self.observer.note(&event);
                        missed.push(event);
                    }
                }
                done = &mut attempts => {
                    done?;
                    missed.retain(|event| !self.observer.is_settled(event));
                    return Ok(missed);
                }
            }
        }
    }

    async fn compare_until_done(&self) -> Result<(), BridgeFault> {
        let mut pause = PAUSES.0;
        loop {
            // Looked at anew for each attempt: another device may have failed meanwhile.
            let mut extent = self.observer.to_compare();
            let result = resync(&self.client, &*self.port, &self.observer, &self.settled, &mut extent).await;
            if result.is_err() {
                self.observer.compare_later(extent);
            }
            let fault = match result {
                Ok(()) => {
                    self.status.send_modify(|status| {
                        status.phase = Phase::Up;
                        status.session = self.observer.session();
                        status.counts = self.observer.counts();
                        status.faults.retain(|fault| fault.object().is_some());
                    });
                    return Ok(());
                }
                Err(ResyncError::Ari(error)) => return Err(BridgeFault::of_error(&error)),
                Err(ResyncError::Fault(fault)) => fault,
                Err(ResyncError::SessionEnded) => {
                    self.observer.set_session(None);
                    continue_after(&mut pause).await;
                    continue;
                }
                Err(error) => BridgeFault::Map(error.to_string()),
            };
            tracing::warn!(%fault, "map and Asterisk could not be compared yet");
            self.status.send_modify(|status| status.add_fault(fault));
            continue_after(&mut pause).await;
        }
    }
}

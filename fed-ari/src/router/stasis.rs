//! The Stasis shell: a call enters the application, its variables are set, and it goes on in the dialplan.

use super::{Ask, Question, Router, Told, at_once, devices, in_vain, question, told};
use crate::{
    client::{AriClient, AriError, Channel},
    render::device_of_channel,
};

/// Answers a call that entered the application with `Stasis(app,route|again|trunk|moved,NAME)`. Whatever happens, the call goes on in the
/// dialplan, which falls back to what is registered here when no variable says otherwise.
///
/// # Errors
/// What an ARI call met; [`AriError::NotFound`] where the caller hung up in between.
pub async fn answer_stasis(
    client: &AriClient,
    router: &Router,
    channel: &Channel,
    args: &[String],
) -> Result<(), AriError> {
    let done = match args {
        [word, name, ..] => match Question::parse(word) {
            Some((question, again)) => tell(client, router, channel, ask(question, again, name, channel)).await,
            None => Ok(()),
        },
        _ => Ok(()),
    };
    let back = client.continue_in_dialplan(&channel.id, None).await;
    done.and(back)
}

fn ask(question: Question, again: bool, name: &str, channel: &Channel) -> Ask {
    Ask {
        question,
        dialled: name.to_owned(),
        device: device_of_channel(&channel.name),
        number: Some(channel.caller.number.clone()).filter(|number| !number.is_empty()),
        again,
    }
}

async fn tell(client: &AriClient, router: &Router, channel: &Channel, ask: Ask) -> Result<(), AriError> {
    let mut told = answer(client, router, channel, &ask).await?;
    if told.in_vain
        && let Some(next) = in_vain(&ask)
    {
        told = answer(client, router, channel, &next).await?;
    }
    for (name, value) in at_once(told.set) {
        client.set_channel_variable(&channel.id, &name, &value).await?;
    }
    Ok(())
}

async fn answer(client: &AriClient, router: &Router, channel: &Channel, ask: &Ask) -> Result<Told, AriError> {
    let decision = router.ask(ask).await;
    let devices = devices(&decision);
    let registered = if devices.is_empty() {
        String::new()
    } else {
        // EVAL evaluates what a plain variable name cannot hold.
        let expression = format!("EVAL({})", question(&devices));
        client
            .channel_variable(&channel.id, &expression)
            .await?
            .unwrap_or_default()
    };
    Ok(told(&decision, &devices, &registered))
}

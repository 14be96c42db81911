//! FastAGI from Asterisk's side: connect, send the call's environment, carry out commands until the server hangs up.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{Shared, channel::Channel, dialplan::expand};

/// How long a connection may take before the dialplan goes on without.
const CONNECT: Duration = Duration::from_secs(2);

/// Runs `agi://HOST[:PORT]/SCRIPT[,ARG..]`; answers `AGISTATUS`.
pub(crate) async fn ask(shared: &Arc<Shared>, channel: &Arc<Channel>, args: &str) -> &'static str {
    let mut words = args.split(',');
    let Some(url) = words.next().and_then(|u| u.trim().strip_prefix("agi://")) else {
        return "NOTFOUND";
    };
    let (address, script) = url.split_once('/').unwrap_or((url, ""));
    let address = if address.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok()) {
        address.to_owned()
    } else {
        format!("{address}:4573")
    };
    let Ok(Ok(stream)) = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await else {
        return "FAILURE";
    };
    match talk(shared, channel, stream, script, words).await {
        Ok(()) => "SUCCESS",
        Err(_) => "FAILURE",
    }
}

async fn talk(
    shared: &Shared,
    channel: &Channel,
    stream: TcpStream,
    script: &str,
    arguments: impl Iterator<Item = &str>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (input, mut output) = stream.into_split();
    output
        .write_all(environment(channel, script, arguments).as_bytes())
        .await?;
    let mut lines = BufReader::new(input).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = command(&line, channel, shared);
        output.write_all(format!("{answer}\n").as_bytes()).await?;
    }
    Ok(())
}

fn environment<'a>(channel: &Channel, script: &str, arguments: impl Iterator<Item = &'a str>) -> String {
    let place = channel.place.lock().clone();
    let caller = if channel.caller.is_empty() {
        "unknown"
    } else {
        &channel.caller
    };
    let mut text = format!(
        "agi_network: yes\nagi_network_script: {script}\nagi_request: agi\nagi_channel: {}\nagi_language: en\nagi_type: PJSIP\nagi_uniqueid: {}\n\
         agi_version: sim\nagi_callerid: {caller}\nagi_calleridname: unknown\nagi_context: {}\nagi_extension: {}\nagi_priority: {}\n",
        channel.name, channel.id, place.context, place.exten, place.priority
    );
    for (number, argument) in arguments.enumerate() {
        text += &format!("agi_arg_{}: {argument}\n", number + 1);
    }
    text + "\n"
}

/// One command and its answer.
fn command(line: &str, channel: &Channel, shared: &Shared) -> String {
    let words = split(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let upper = |n: usize| words.get(n).map(|w| w.to_ascii_uppercase()).unwrap_or_default();
    match (upper(0).as_str(), upper(1).as_str(), words.as_slice()) {
        ("SET", "VARIABLE", [_, _, name, value]) => {
            channel.set(name, value);
            "200 result=1".to_owned()
        }
        ("GET", "VARIABLE", [_, _, name]) => answer(channel.get(name)),
        ("GET", "FULL", [_, _, _, expression]) => answer(Some(expand(expression, channel, shared))),
        ("NOOP" | "VERBOSE", ..) => "200 result=1".to_owned(),
        ("HANGUP", ..) => {
            channel.hang_up(16);
            "200 result=1".to_owned()
        }
        _ => "510 Invalid or unknown command".to_owned(),
    }
}

fn answer(value: Option<String>) -> String {
    match value.filter(|v| !v.is_empty()) {
        Some(value) => format!("200 result=1 ({value})"),
        None => "200 result=0".to_owned(),
    }
}

/// Words, with quoted ones and backslashes as AGI has them.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(characters.next()),
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_arguments_stay_whole() {
        assert_eq!(
            split(r#"SET VARIABLE FED_DIAL_1 "PJSIP/a/sip:a@1&\"x\" y""#),
            ["SET", "VARIABLE", "FED_DIAL_1", "PJSIP/a/sip:a@1&\"x\" y"]
        );
        assert_eq!(split(r#"SET VARIABLE X """#), ["SET", "VARIABLE", "X", ""]);
    }
}

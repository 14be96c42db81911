//! Passwords: read at the edge, turned into a digest there, and forgotten.

use std::io::{BufRead, IsTerminal, Write};

use data_encoding::HEXLOWER;
use md5::{Digest, Md5};

use super::args::PasswordArgs;
use super::exit::{Failure, Outcome};
use crate::config::{Secret, read_secret_file};
use crate::explain::Code;

/// The SIP digest HA1: `MD5(device:realm:password)`, 32 lower-case hex digits.
#[must_use]
pub fn ha1(device: &str, realm: &str, password: &Secret) -> String {
    HEXLOWER.encode(&Md5::digest(format!("{device}:{realm}:{}", password.reveal())))
}

/// The password that was asked for: from stdin, a file, or typed twice at a terminal.
///
/// # Errors
/// When there is none, or it is empty.
pub(crate) fn read(args: &PasswordArgs, device: &str) -> Outcome<Secret> {
    if let Some(secret) = read_given(args)? {
        return Ok(secret);
    }
    if !std::io::stdin().is_terminal() {
        return Err(unusable(format!(
            "the password of device {device} is missing: give it on stdin with --password-stdin, or in a file with --password-file FILE"
        )));
    }
    let first = prompt(&format!("Password of device {device}: "))?;
    let second = prompt("Once more: ")?;
    if first != second {
        return Err(unusable("the two passwords differ; nothing was changed"));
    }
    filled(first)
}

/// The password, when stdin or a file was named for it.
///
/// # Errors
/// When that cannot be read or is empty.
pub(crate) fn read_given(args: &PasswordArgs) -> Outcome<Option<Secret>> {
    if args.password_stdin {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.map_err(|why| {
            unusable(format!(
                "the password on stdin cannot be read: {why}; nothing was changed"
            ))
        })?;
        return filled(Secret::new(line.trim_end_matches(['\r', '\n']))).map(Some);
    }
    args.password_file
        .as_deref()
        .map(|file| read_secret_file(file).map_err(unusable))
        .transpose()
}

fn unusable(text: impl std::fmt::Display) -> Failure {
    Failure::usage(text).coded(Code::PasswordUnusable)
}

fn filled(secret: Secret) -> Outcome<Secret> {
    if secret.is_empty() {
        Err(unusable("the password is empty; nothing was changed"))
    } else {
        Ok(secret)
    }
}

/// Reads one line from the terminal without showing it.
pub(crate) fn prompt(question: &str) -> Outcome<Secret> {
    let mut stderr = std::io::stderr();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let line = console::Term::stderr().read_secure_line()?;
    Ok(Secret::new(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_one_of_rfc_2617() {
        let password = Secret::new("Circle Of Life");
        assert_eq!(
            ha1("Mufasa", "testrealm@host.com", &password),
            "939e7578ed9e3c518a452acee763bce9"
        );
    }
}

//! A thousand users at once.

use anyhow::{Context, Result, ensure};
use fed_tests::lab::Lab;
use fed_tests::phone::Transport;

/// All Asterisks are ready this many seconds after the last acknowledgement, at most.
const READY_S: f64 = 15.0;

pub(crate) fn import(lab: &mut Lab) -> Result<()> {
    const USERS: usize = 1_000;
    let file = lab.folder().join("users.csv");
    std::fs::write(&file, users_csv(USERS))?;
    let path = file.to_string_lossy().into_owned();
    let imported = lab.hosts[1].node()?.try_run(&["user", "import", &path])?;
    let (told, done) = (
        String::from_utf8_lossy(&imported.stderr),
        String::from_utf8_lossy(&imported.stdout),
    );
    ensure!(imported.status.success(), "{told}");
    let waited = told
        .lines()
        .find_map(|line| line.strip_prefix("every Asterisk has them, ")?.split(' ').next());
    let waited: f64 = waited.with_context(|| format!("said: {told}"))?.parse()?;
    ensure!(
        waited <= READY_S,
        "ready only {waited} s after the last was acknowledged"
    );
    println!(
        "    {}; ready at every Asterisk {waited} s after the last was acknowledged",
        done.trim()
    );
    // The command's word is taken: no Asterisk is waited for here.
    for host in &lab.hosts {
        let (status, body) = host.asterisk.ari("GET", "/endpoints/PJSIP")?;
        ensure!(status == 200, "ARI answered {status}");
        let list: Vec<serde_json::Value> = serde_json::from_str(&body)?;
        let there = list
            .iter()
            .filter(|e| e["resource"].as_str().is_some_and(|r| r.starts_with("import")))
            .count();
        ensure!(there == USERS, "{} has {there} of {USERS} endpoints", host.name);
    }
    for (at, id) in [(0, "import0"), (1, "import500"), (2, "import999")] {
        let phone = lab.phone_of(id, Transport::Udp)?;
        phone
            .register(lab.hosts[at].sip())
            .with_context(|| format!("{id} at {}", lab.hosts[at].name))?;
    }
    let revision = |lab: &Lab| -> Result<serde_json::Value> { lab.hosts[1].node()?.json(&["user", "show", "import7"]) };
    let before = revision(lab)?;
    lab.hosts[1]
        .node()?
        .run(&["user", "import", &path])
        .context("the same file again")?;
    ensure!(before == revision(lab)?, "importing the same file again changed a user");

    let broken = lab.folder().join("broken.csv");
    std::fs::write(&broken, users_csv(3).replacen("import1,", "new&1,", 1))?;
    let refused = lab.hosts[1]
        .node()?
        .try_run(&["user", "import", &broken.to_string_lossy()])?;
    ensure!(!refused.status.success(), "a file with a bad id was taken");
    println!("    a bad file: {}", String::from_utf8_lossy(&refused.stderr).trim());
    Ok(())
}

fn users_csv(count: usize) -> String {
    let mut text = String::from("user,name,numbers,device,password\n");
    for n in 0..count {
        text.push_str(&format!(
            "import{n},Import {n},7{n:04},import{n},{}\n",
            fed_tests::lab::password_of(&format!("import{n}"))
        ));
    }
    text
}

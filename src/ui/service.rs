//! The first line of everything that looks: whether clients can read and write.

use crate::model::{Verb, counted, counted_that};
use crate::run::Service;

use super::color::{Paint, Tone};
use super::words::{one_line, roughly, time_of_day};

/// In a line.
pub fn service_text(service: &Service, paint: Paint) -> String {
    let (tone, text) = sentence(service);
    let (tone, fewer) = match service.fewer {
        0 => (tone, String::new()),
        fewer => (
            if tone == Tone::Good { Tone::Warning } else { tone },
            format!(" {} fewer replicas than the table was made with.", counted_that(fewer, "partition", Verb::Have)),
        ),
    };
    format!("{}\n", paint.tone(tone, &(text + &fewer)))
}

/// `55 of 85 partitions serve`.
pub fn serve_text(serving: usize, partitions: usize) -> String {
    format!("{serving} of {}", counted_that(partitions, "partition", Verb::Regular("serve")))
}

/// When a look was begun that is still shown, and why there is no newer one. How old it is is told once it is older than looks are
/// as a rule.
pub fn since_text(at_ms: u64, now_ms: u64, failed: Option<&str>) -> String {
    const OLD_MS: u64 = 5_000;
    let ago = match now_ms.saturating_sub(at_ms) {
        0..OLD_MS => String::new(),
        ago => format!(", {} ago", roughly(ago)),
    };
    let since = failed.map_or(String::new(), |error| format!("; looking again failed: {}", one_line(error)));
    format!("Seen at {} UTC{ago}{since}", time_of_day(at_ms))
}

fn sentence(service: &Service) -> (Tone, String) {
    let Service { partitions, serving, lacking, .. } = *service;
    let of = serve_text(serving, partitions);
    match partitions - serving {
        _ if service.is_whole() => (Tone::Good, format!("{of}; none lacks a copy.")),
        0 => (Tone::Warning, format!("{of}; {}.", lacks(service))),
        down if down == partitions => (Tone::Bad, format!("{of}: clients can neither read nor write.")),
        down => {
            let copies = if lacking == 0 { String::new() } else { format!(" Of those that do, {}.", lacks(service)) };
            let other = if down == 1 { "one".to_owned() } else { down.to_string() };
            (Tone::Bad, format!("{of}; clients can neither read nor write the other {other}.{copies}"))
        }
    }
}

/// `9 lack a copy, on 127.0.0.1:9527 (does not answer)`.
fn lacks(service: &Service) -> String {
    /// So many tablets are named.
    const NAMED: usize = 2;
    let verb = if service.lacking == 1 { "lacks" } else { "lack" };
    let named = service.lacking_on.iter().take(NAMED).map(|lacking| {
        let silent = if lacking.no_answer { " (does not answer)" } else { "" };
        format!("{}{silent}", lacking.endpoint)
    });
    let named: Vec<String> = named.collect();
    let more = match service.lacking_on.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {}", counted(more, "more tablet")),
    };
    format!("{} {verb} a copy, on {}{more}", service.lacking, named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Endpoint;
    use crate::run::Lacking;

    fn said(partitions: usize, serving: usize, lacking_on: &[(&str, usize, bool)]) -> String {
        let lacking_on: Vec<Lacking> = lacking_on
            .iter()
            .map(|(at, partitions, no_answer)| Lacking {
                endpoint: Endpoint::from(*at),
                partitions: *partitions,
                no_answer: *no_answer,
            })
            .collect();
        let lacking = lacking_on.iter().map(|lacking| lacking.partitions).max().unwrap_or_default();
        sentence(&Service { partitions, serving, lacking, lacking_on, fewer: 0 }).1
    }

    #[test]
    fn it_says_whether_clients_can_read_and_write() {
        assert_eq!(said(12, 12, &[]), "12 of 12 partitions serve; none lacks a copy.");
        assert_eq!(
            said(12, 12, &[("t:1", 9, true)]),
            "12 of 12 partitions serve; 9 lack a copy, on t:1 (does not answer)."
        );
        assert_eq!(said(12, 0, &[]), "0 of 12 partitions serve: clients can neither read nor write.");
        assert_eq!(
            said(12, 9, &[("t:1", 1, false)]),
            "9 of 12 partitions serve; clients can neither read nor write the other 3. Of those that do, 1 lacks a copy, on t:1."
        );
        assert_eq!(said(12, 11, &[]), "11 of 12 partitions serve; clients can neither read nor write the other one.");
        assert_eq!(said(1, 1, &[]), "1 of 1 partition serves; none lacks a copy.");
        let many = [("t:1", 5, false), ("t:2", 4, true), ("t:3", 1, true), ("t:4", 1, true)];
        assert_eq!(
            said(8, 8, &many),
            "8 of 8 partitions serve; 5 lack a copy, on t:1, t:2 (does not answer) and 2 more tablets."
        );
    }
}

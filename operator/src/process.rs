//! What this process uses, under the names that every Prometheus client library has for it.

use std::fmt::Write;

/// Ticks of a second in `/proc/self/stat`, the same on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// Adds the series; those that this system does not tell are left out.
pub(crate) fn series(text: &mut String) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    if let Some(ticks) = ticks(&read("stat")) {
        let name = "process_cpu_seconds_total";
        let (seconds, hundredths) = (ticks / TICKS_PER_SECOND, ticks % TICKS_PER_SECOND);
        add(text, name, "counter", "Processor time of the program.", &format!("{seconds}.{hundredths:02}"));
    }
    if let Some(bytes) = resident_bytes(&read("status")) {
        let name = "process_resident_memory_bytes";
        add(text, name, "gauge", "Memory of the program.", &bytes.to_string());
    }
}

fn add(text: &mut String, name: &str, kind: &str, help: &str, value: &str) {
    // Writing into a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}

/// Time in user mode and in the kernel: the 14th and 15th field. The second one is a name that may have blanks.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(user + system)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_whatever_the_name_of_the_program() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 31 0 0 20 0 4 0 100 1000 200";
        assert_eq!(ticks(stat), Some(281));
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!((ticks(""), resident_bytes("")), (None, None));
    }

    #[test]
    fn this_process_uses_something() {
        let mut text = String::new();
        series(&mut text);
        assert!(
            text.contains("process_cpu_seconds_total ") && text.contains("process_resident_memory_bytes ")
        );
    }
}

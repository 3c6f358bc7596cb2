use super::*;

fn span(number: u64) -> Span {
    let context = TraceParent { trace_id: [1; 16], span_id: [2; 8], sampled: true };
    let about = About::new(context, ("", "orders"), &System::default(), std::iter::empty(), 0);
    Span {
        operation: Operation::Send,
        about: Arc::new(about),
        handed: None,
        client_id: String::new(),
        queued_ms: None,
        begin_ns: number,
        end_ns: number,
        fault: None,
    }
}

#[test]
fn what_finds_no_room_is_dropped_and_counted() {
    let spans = Spans::new(|| 0);
    for number in 0..WAITING_MAX as u64 + 3 {
        spans.record(span(number));
    }
    assert_eq!(spans.counts(), Counts { exported: 0, dropped: 3 });
    let all = spans.take(usize::MAX);
    assert_eq!(all.len(), WAITING_MAX);
    assert_eq!((all[0].begin_ns, all[WAITING_MAX - 1].begin_ns), (0, WAITING_MAX as u64 - 1));
}

#[test]
fn a_batch_wakes_the_exporter_and_less_does_not() {
    use futures::FutureExt;

    let spans = Spans::new(|| 0);
    (1..BATCH as u64).for_each(|number| spans.record(span(number)));
    assert_eq!(spans.filled().now_or_never(), None);
    spans.record(span(0));
    assert_eq!(spans.filled().now_or_never(), Some(()));
}

#[test]
fn long_texts_are_cut_between_characters_and_many_keys_left_out() {
    let text = "ö".repeat(TEXT_BYTES_MAX);
    let mut system = System::default();
    (system.tag, system.key_count, system.key_bytes) = (Some(text.as_str()), 1, 257);
    let context = TraceParent { trace_id: [1; 16], span_id: [2; 8], sampled: true };
    let about = About::new(context, ("", "orders"), &system, std::iter::once(&*text), 0);
    assert_eq!(about.tag.map(|tag| tag.len()), Some(TEXT_BYTES_MAX));
    assert_eq!(about.keys, Vec::<String>::new());
    let odd = format!("a{text}");
    assert_eq!(short(&odd).len(), TEXT_BYTES_MAX - 1);
}

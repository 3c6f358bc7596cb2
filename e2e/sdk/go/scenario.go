package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

// expected is how many different messages have to be acknowledged in the end.
func (s *session) expected() int {
	switch s.scenario {
	case "tagfilter":
	case "sqlfilter":
		return s.expect * s.rounds()
	case "fifo", "fifo-retry":
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.sent)
	case "transaction", "transaction-held", "transaction-heir":
		return committed(s.rounds() * s.count)
	case "delay":
		n := 0
		for i := range s.rounds() * s.count {
			if !isRecalled(s.options, i) {
				n++
			}
		}
		return n
	default:
		return s.rounds() * s.count
	}
	n := 0
	for i := range s.rounds() * s.count {
		if t := tag(s.scenario, i); t == "a" || t == "b" {
			n++
		}
	}
	return n
}

// rounds says how often all messages were sent: more than once only with a pace.
func (s *session) rounds() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(1, len(s.sent)/s.count)
}

// endOnSignal lets whatever asks `ended` know of SIGTERM.
func (s *session) endOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		s.ended.Store(true)
	}()
}

// goesOn says whether message i is to be sent: after all messages of a round, and with a pace, SIGTERM is the end.
func (s *session) goesOn(i int) bool {
	return i < s.count || s.pace > 0 && (i%s.count != 0 || !s.ended.Load())
}

// play runs every scenario but `stream`: consumers first, then the messages, then wait for the end.
func (s *session) play() bool {
	if s.pace > 0 || s.scenario == "transaction-held" {
		s.endOnSignal()
	}
	if s.scenario != "send" {
		stop, err := s.consume(s.topic, s.group)
		if err != nil {
			s.problem("start consumer", err)
			return false
		}
		defer s.leave(stop)
	}
	if s.scenario != "receive" {
		p, err := s.producer()
		if err != nil {
			s.problem("start producer", err)
			return false
		}
		defer func() { _ = p.GracefulStop() }()
		if !s.sendAll(p) {
			return false
		}
	}
	if s.scenario == "send" {
		return true
	}
	if s.scenario == "dlq" || s.scenario == "stuck" {
		// Some failures may be lost with a broker: what counts then is that they all end as dead letters.
		if s.scenario == "dlq" && s.pace == 0 && !s.await("failed deliveries", s.failed, s.count*s.attempts) {
			return false
		}
		if s.scenario == "stuck" && !s.await("acknowledged, the stuck one apart", s.ackedCount, s.count-1) {
			return false
		}
		stop, err := s.consumeDead()
		if err != nil {
			s.problem("start dead letter consumer", err)
			return false
		}
		defer s.leave(stop)
	}
	return s.settle()
}

// sendAll sends one message after the other, or with several producers at a time.
func (s *session) sendAll(p rmq.Producer) bool {
	if s.scenario == "fifo" || s.scenario == "fifo-retry" {
		return s.sendInTurn(p)
	}
	if s.decides() {
		return s.sendTransactions(p)
	}
	for i := 0; s.goesOn(i); i++ {
		if !s.send(p, i) {
			return false
		}
	}
	if s.scenario == "delay" {
		s.progress()
	}
	return true
}

// leave stops a consumer properly where that is quick or is part of the test: a push consumer waits for its
// running long polls, which can take half a minute.
func (s *session) leave(stop func()) {
	if s.mode == "simple" || s.scenario == "roundtrip" {
		stop()
	}
}

// failed counts the deliveries that were made to fail.
func (s *session) failed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.received {
		if r.Verdict == fail {
			n++
		}
	}
	return n
}

// consumeDead starts the consumer of the dead letters. Their topic comes into being with the
// first of them, when the last lease has run out.
func (s *session) consumeDead() (stop func(), err error) {
	for range 20 {
		time.Sleep(time.Second)
		if stop, err = s.consume("%DLQ%"+s.group, s.group+"-dlq"); err == nil {
			return stop, nil
		}
	}
	return nil, err
}

// await waits until there are enough of something.
func (s *session) await(what string, count func() int, enough int) bool {
	for deadline := time.Now().Add(s.timeout); count() < enough; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.problem("timeout", fmt.Errorf("%d of %d %s", count(), enough, what))
			return false
		}
	}
	return true
}

// settle waits until everything is acknowledged, and then a little for what must not come.
func (s *session) settle() bool {
	if !s.await("acknowledged", s.ackedCount, s.expected()) {
		return false
	}
	if s.decides() && !s.await("decided", s.settledCount, s.rounds()*s.count) {
		return false
	}
	if s.scenario == "delay" {
		time.Sleep(s.untilLastDue())
	}
	if s.scenario == "tagfilter" || s.scenario == "delay" || s.decides() {
		time.Sleep(time.Second)
	}
	return true
}

// stream sends and receives until SIGTERM or the time limit, through any number of broker restarts, and then
// waits until everything that was acknowledged has also been received.
func (s *session) stream(report map[string]any) bool {
	stop, err := s.consume(s.topic, s.group)
	if err != nil {
		s.problem("start consumer", err)
		return false
	}
	defer s.leave(stop)
	p, err := s.producer()
	if err != nil {
		s.problem("start producer", err)
		return false
	}
	defer func() { _ = p.GracefulStop() }()
	longest := s.flow(p)
	missing := s.missing()
	for deadline := time.Now().Add(s.drain); len(missing) > 0 && time.Now().Before(deadline); missing = s.missing() {
		time.Sleep(50 * time.Millisecond)
	}
	report["acknowledged"], report["distinct"], report["copies"] = len(s.sent), s.ackedCount(), s.copies
	report["missing"], report["longestGapMs"] = missing, longest.Milliseconds()
	return len(missing) == 0 && len(s.sent) > 0
}

// flow sends at the wanted rate and returns the longest time without an acknowledged send.
func (s *session) flow(p rmq.Producer) time.Duration {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	tick := time.NewTicker(time.Second / time.Duration(s.rate))
	defer tick.Stop()
	end := time.After(s.seconds)
	last, spoke, longest := time.Now(), time.Now(), time.Duration(0)
	for i := 0; ; i++ {
		select {
		case <-signals:
			return longest
		case <-end:
			return longest
		case <-tick.C:
		}
		if s.send(p, i) {
			longest = max(longest, time.Since(last))
			last = time.Now()
		}
		if time.Since(spoke) > time.Second {
			spoke = time.Now()
			s.progress()
		}
	}
}

func (s *session) progress() {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(os.Stderr, "progress acknowledged=%d received=%d failures=%d\n", len(s.sent), len(s.acked), s.failures)
}

// decides says whether the scenario is one with transactions.
func (s *session) decides() bool {
	return strings.HasPrefix(s.scenario, "transaction")
}

// missing lists what was acknowledged and has not been received.
func (s *session) missing() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	missing := []int{}
	for _, m := range s.sent {
		if !s.acked[m.Index] {
			missing = append(missing, m.Index)
		}
	}
	return missing
}

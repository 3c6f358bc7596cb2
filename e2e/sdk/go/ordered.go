package main

import (
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

// stuckAt is the number of the message that always fails: the third of the first message group.
func (s *session) stuckAt() int {
	return 2 * s.groups
}

func lineOf(m *rmq.MessageView) string {
	if group := m.GetMessageGroup(); group != nil {
		return *group
	}
	return ""
}

// fails says whether an ordered scenario wants this delivery to fail. The caller has the lock and has counted it.
func (s *session) fails(m *rmq.MessageView, index int) bool {
	switch s.scenario {
	case "fifo-retry":
		return index%5 == 2 && s.seen[index] == 1
	case "stuck":
		return index == s.stuckAt() && !strings.HasPrefix(m.GetTopic(), "%DLQ%")
	}
	return false
}

// hold keeps the first delivery of the stuck message until all message groups but its own are done.
func (s *session) hold(m *rmq.MessageView) {
	s.mu.Lock()
	first := s.scenario == "stuck" && s.seen[s.stuckAt()] == 1
	s.mu.Unlock()
	if first {
		s.await("acknowledged of other message groups", s.othersDone, s.count-s.count/s.groups)
	}
}

func (s *session) othersDone() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for index := range s.acked {
		if index%s.groups != s.stuckAt()%s.groups {
			n++
		}
	}
	return n
}

// giveBack ends the lease of what failed soon. The stuck message is held first, and left alone the second time.
func (s *session) giveBack(c rmq.SimpleConsumer, m *rmq.MessageView) {
	change := func(invisible time.Duration) {
		if err := c.ChangeInvisibleDuration(m, invisible); err != nil {
			s.problem("change invisible", err)
		}
	}
	s.mu.Lock()
	first := s.seen[s.stuckAt()] == 1
	s.mu.Unlock()
	switch {
	case s.scenario == "fifo-retry":
		change(time.Second)
	case s.scenario == "stuck" && first:
		change(time.Minute)
		go func() {
			s.hold(m)
			change(time.Second)
		}()
	}
}

// sendInTurn sends each message group's messages one after the other, by several producers at a time. It goes on until
// every consumer has had a message, so that they are seen to share the work.
func (s *session) sendInTurn(first rmq.Producer) bool {
	deadline := time.Now().Add(s.timeout)
	done := make([]bool, s.producers)
	var all sync.WaitGroup
	for n := range s.producers {
		p := first
		if n > 0 {
			var err error
			if p, err = s.producer(); err != nil {
				s.problem("start producer", err)
				return false
			}
			defer func() { _ = p.GracefulStop() }()
		}
		all.Go(func() { done[n] = s.sendGroups(p, n, deadline) })
	}
	all.Wait()
	for _, ok := range done {
		if !ok {
			return false
		}
	}
	return true
}

func (s *session) sendGroups(p rmq.Producer, n int, deadline time.Time) bool {
	flows := func() bool { return s.pace > 0 && !s.ended.Load() }
	for round := 0; round < s.count/s.groups || !s.shared() || flows(); round++ {
		if !flows() && time.Now().After(deadline) {
			return true // who had nothing shows in the report
		}
		for group := n; group < s.groups; group += s.producers {
			if !s.send(p, round*s.groups+group) {
				return false
			}
		}
		enough := s.pace == 0 && round+1 >= s.count/s.groups
		if enough && !s.await("acknowledged in turn", s.ackedCount, s.expected()) {
			return false
		}
	}
	return true
}

func (s *session) shared() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.took) == s.consumers
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

// due is when message i is due: the first in the past, the others from 2 s on until all of `--seconds` later.
func due(o options, i int) time.Time {
	if i == 0 {
		return time.Now().Add(-10 * time.Second)
	}
	return time.Now().Add(2*time.Second + time.Duration(i*37%o.count)*o.seconds/time.Duration(o.count))
}

// isRecalled says whether message i is taken back after it was sent.
func isRecalled(o options, i int) bool {
	return o.scenario == "delay" && i%5 == 3
}

// recall takes a message back; a second time it is too late.
func (s *session) recall(p rmq.Producer, i int, handle string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := p.Recall(ctx, s.topic, handle); err != nil {
		s.problem(fmt.Sprintf("recall %d", i), err)
		return
	}
	s.mu.Lock()
	s.recalled = append(s.recalled, i)
	s.mu.Unlock()
	if _, err := p.Recall(ctx, s.topic, handle); err != nil {
		s.refusals = append(s.refusals, err.Error())
	} else {
		s.problem(fmt.Sprintf("recall %d", i), errors.New("done twice"))
	}
}

// untilLastDue is the time until the last of the delayed messages is due.
func (s *session) untilLastDue() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := int64(0)
	for _, m := range s.sent {
		last = max(last, *m.DueMs)
	}
	return time.Until(time.UnixMilli(last))
}

// milliseconds since 1970, if there is a time.
func milliseconds(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

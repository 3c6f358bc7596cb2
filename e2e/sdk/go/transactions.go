package main

import (
	"context"
	"fmt"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

// transactions is what the scenarios with transactions add: their decisions, by the sender and by the checker. The
// session's lock guards it.
type transactions struct {
	decided []int        // messages that the sender decided: the broker answered
	checks  []received   // what the checker was asked, and its answer as the verdict
	settled map[int]bool // messages that somebody decided
	asked   map[int]int
	holds   bool
}

// commits says whether message i is committed in the end, whoever decides.
func commits(i int) bool {
	return i%3 == 0 || i%6 == 2
}

// isLeft says whether the sender leaves message i to the checker.
func isLeft(i int) bool {
	return i%3 == 2
}

func committed(count int) int {
	n := 0
	for i := range count {
		if commits(i) {
			n++
		}
	}
	return n
}

// check is the checker. At the first question about some messages the answer is not known.
func (s *session) check(m *rmq.MessageView) rmq.TransactionResolution {
	s.mu.Lock()
	defer s.mu.Unlock()
	question := view(m, "unknown", s.nowMs())
	s.asked[question.Index]++
	answer := rmq.UNKNOWN
	isFirst := s.asked[question.Index] == 1
	if !s.holds && !(isFirst && question.Index%4 >= 2) {
		s.settled[question.Index] = true
		answer, question.Verdict = rmq.ROLLBACK, "rollback"
		if commits(question.Index) {
			answer, question.Verdict = rmq.COMMIT, "commit"
		}
	}
	s.checks = append(s.checks, question)
	return answer
}

// sendTransactions sends all messages first, then decides: `transaction-held` waits for SIGTERM in between.
func (s *session) sendTransactions(p rmq.Producer) bool {
	if s.scenario == "transaction-heir" {
		return true // another program sent them
	}
	s.holdBack(s.scenario == "transaction-held")
	var open []rmq.Transaction
	for i := 0; s.goesOn(i); i++ {
		var transaction rmq.Transaction
		sent := s.sendPaced(i, func(ctx context.Context, m *rmq.Message) ([]*rmq.SendReceipt, error) {
			transaction = p.BeginTransaction() // of a failed try nobody knows whether it was stored
			return p.SendWithTransaction(ctx, m, transaction)
		})
		if !sent {
			return false
		}
		open = append(open, transaction)
	}
	s.progress()
	for s.scenario == "transaction-held" && !s.ended.Load() {
		time.Sleep(20 * time.Millisecond)
	}
	s.holdBack(false)
	if s.producers > 1 {
		if _, err := s.producer(); err != nil {
			s.problem("start producer", err)
			return false
		}
	}
	for i, transaction := range open {
		s.decide(i, transaction)
	}
	return true
}

func (s *session) holdBack(holds bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds = holds
}

// decide leaves to the checker what the broker does not answer.
func (s *session) decide(i int, transaction rmq.Transaction) {
	if isLeft(i) {
		return
	}
	time.Sleep(s.work)
	end := transaction.RollBack
	if commits(i) {
		end = transaction.Commit
	}
	if err := end(); err != nil {
		s.problem(fmt.Sprintf("decide %d", i), err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decided = append(s.decided, i)
	s.settled[i] = true
}

func (s *session) settledCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.settled)
}

// One program of the SDK matrix: the official Go SDK, unmodified, against any RocketMQ 5 endpoint.
// Command line, scenarios and output are the same in every language: see ../README.md.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

const (
	ack  = "ack"
	fail = "fail"
	hide = "hide"
)

// session is what one run has seen so far.
type session struct {
	options
	began     time.Time
	mu        sync.Mutex
	sent      []sent
	received  []received
	acked     map[int]bool
	seen      map[int]int  // deliveries of each message so far
	ended     atomic.Bool  // SIGTERM came
	took      map[int]bool // consumers that have had a message
	confirmed []confirmed
	copies    int // deliveries of a message that was delivered before (stream)
	errors    []string
	failures  int
	recalled  []int    // delayed messages that were taken back
	refusals  []string // why what was taken back cannot be so again
	transactions
}

func (s *session) problem(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	if len(s.errors) < 20 {
		s.errors = append(s.errors, what+": "+err.Error())
	}
}

// verdict decides what happens to one delivery.
func (s *session) verdict(m *rmq.MessageView, index int) string {
	first := m.GetDeliveryAttempt() <= 1
	switch {
	case s.fails(m, index):
		return fail
	case s.scenario == "redeliver" && index%2 == 0 && first:
		return fail
	case s.scenario == "change-invisible" && first:
		return hide
	case s.scenario == "dlq" && !strings.HasPrefix(m.GetTopic(), "%DLQ%"):
		return fail
	}
	return ack
}

// deliver records one delivery and says what to do with it. Messages of other runs are only acknowledged. What is
// behind a message that failed fails with it.
func (s *session) deliver(m *rmq.MessageView, consumer int, behind bool) string {
	if s.scenario != "receive" && m.GetProperties()["run"] != s.run {
		return ack
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := view(m, "", s.nowMs())
	s.seen[r.Index]++
	s.took[consumer] = true
	r.Consumer, r.Verdict = consumer, s.verdict(m, r.Index)
	if behind {
		r.Verdict = fail
	}
	if s.scenario == "stream" && s.acked[r.Index] {
		s.copies++
	}
	if s.scenario != "stream" || s.groups > 0 {
		s.received = append(s.received, r)
	}
	return r.Verdict
}

func (s *session) nowMs() int64 {
	return time.Since(s.began).Milliseconds()
}

// done notes that a delivery was acknowledged (simple) or about to be (push). Where brokers are killed an acknowledgement
// whose answer got lost may count, and then the message does not come again.
func (s *session) done(m *rmq.MessageView, isAnswered bool) {
	if !isAnswered && s.pace == 0 && s.scenario != "stream" {
		return
	}
	if s.scenario != "receive" && m.GetProperties()["run"] != s.run {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	index := view(m, "", 0).Index
	if isRecalled(s.options, index) {
		return // nobody waits for it
	}
	s.acked[index] = true
	if isAnswered && s.mode == "simple" && s.groups > 0 {
		s.confirmed = append(s.confirmed, confirmed{index, m.GetOffset(), s.nowMs()})
	}
}

func (s *session) ackedCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acked)
}

func (s *session) config(group string) *rmq.Config {
	return &rmq.Config{Endpoint: s.endpoint, ConsumerGroup: group, Credentials: &credentials.SessionCredentials{}}
}

func (s *session) producer() (rmq.Producer, error) {
	options := []rmq.ProducerOption{rmq.WithTopics(s.topic)}
	if s.decides() {
		options = append(options, rmq.WithTransactionChecker(&rmq.TransactionChecker{Check: s.check}))
	}
	p, err := rmq.NewProducer(s.config(""), options...)
	if err != nil {
		return nil, err
	}
	return p, p.Start()
}

// consume starts the consumers and returns what stops them.
func (s *session) consume(topic, group string) (func(), error) {
	expression := rmq.NewFilterExpression("*")
	switch s.scenario {
	case "tagfilter":
		expression = rmq.NewFilterExpression("a || b")
	case "sqlfilter":
		expression = rmq.NewFilterExpressionWithType(s.expression, rmq.SQL92)
	}
	filter := map[string]*rmq.FilterExpression{topic: expression}
	start := s.simple
	if s.mode == "push" {
		start = s.push
	}
	var stops []func()
	for consumer := range s.consumers {
		stop, err := start(group, filter, consumer)
		if err != nil {
			return nil, err
		}
		stops = append(stops, stop)
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}, nil
}

func (s *session) push(group string, filter map[string]*rmq.FilterExpression, consumer int) (func(), error) {
	c, err := rmq.NewPushConsumer(s.config(group),
		rmq.WithPushAwaitDuration(5*time.Second),
		rmq.WithPushEnableFifoConsumeAccelerator(s.groups > 0),
		rmq.WithPushSubscriptionExpressions(filter),
		rmq.WithPushMessageListener(&rmq.FuncMessageListener{Consume: func(m *rmq.MessageView) rmq.ConsumerResult {
			if s.deliver(m, consumer, false) != ack {
				s.hold(m)
				return rmq.FAILURE
			}
			time.Sleep(s.work)
			s.done(m, true)
			return rmq.SUCCESS
		}}))
	if err != nil {
		return nil, err
	}
	return func() { _ = c.GracefulStop() }, c.Start()
}

func (s *session) simple(group string, filter map[string]*rmq.FilterExpression, consumer int) (func(), error) {
	c, err := rmq.NewSimpleConsumer(s.config(group),
		rmq.WithSimpleAwaitDuration(3*time.Second),
		rmq.WithSimpleSubscriptionExpressions(filter))
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for ctx.Err() == nil {
			s.receive(ctx, c, consumer)
		}
	}()
	return func() { cancel(); _ = c.GracefulStop() }, nil
}

func (s *session) receive(ctx context.Context, c rmq.SimpleConsumer, consumer int) {
	invisible, most := 10*time.Second, int32(16)
	switch s.scenario {
	case "change-invisible":
		invisible = 60 * time.Second
	case "stuck":
		most = 1 // what is behind the stuck message in a reply would use up its attempts with it
	}
	views, err := c.Receive(ctx, most, invisible)
	if err != nil && ctx.Err() == nil && !strings.Contains(err.Error(), "MESSAGE_NOT_FOUND") {
		s.problem("receive", err)
		time.Sleep(100 * time.Millisecond)
	}
	failed := map[string]bool{}
	for _, m := range views {
		switch s.deliver(m, consumer, failed[lineOf(m)]) {
		case ack:
			time.Sleep(s.work)
			err := c.Ack(ctx, m)
			if err != nil {
				s.problem("ack", err)
			}
			s.done(m, err == nil)
		case hide:
			if err := c.ChangeInvisibleDuration(m, 3*time.Second); err != nil {
				s.problem("change invisible", err)
			}
		case fail:
			failed[lineOf(m)] = s.groups > 0
			s.giveBack(c, m)
		}
	}
}

func (s *session) send(p rmq.Producer, i int) bool {
	return s.sendPaced(i, func(ctx context.Context, m *rmq.Message) ([]*rmq.SendReceipt, error) {
		receipts, err := p.Send(ctx, m)
		if err == nil && isRecalled(s.options, i) {
			s.recall(p, i, receipts[0].RecallHandle)
		}
		return receipts, err
	})
}

// sending is a way to send a message.
type sending func(context.Context, *rmq.Message) ([]*rmq.SendReceipt, error)

// sendPaced sends message i; with a pace until it is acknowledged, and then the next one waits.
func (s *session) sendPaced(i int, how sending) bool {
	beganMs, m := s.nowMs(), message(s.options, i)
	for deadline := time.Now().Add(s.timeout); !s.sendBy(i, m, beganMs, how); time.Sleep(100 * time.Millisecond) {
		if s.pace == 0 || time.Now().After(deadline) {
			return false
		}
	}
	if s.pace > 0 {
		s.progress()
		time.Sleep(s.pace)
	}
	return true
}

func (s *session) sendBy(i int, m *rmq.Message, beganMs int64, how sending) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	receipts, err := how(ctx, m)
	if err != nil {
		s.problem(fmt.Sprintf("send %d", i), err)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	receipt := receipts[0]
	dueMs := milliseconds(m.GetDeliveryTimestamp())
	s.sent = append(s.sent, sent{receipt.MessageID, i, receipt.TransactionId, dueMs, beganMs, s.nowMs()})
	return true
}

func main() {
	o := parse()
	rmq.EnableSsl = o.tls
	s := &session{options: o, began: time.Now(), acked: map[int]bool{}, seen: map[int]int{}, took: map[int]bool{}}
	s.transactions = transactions{settled: map[int]bool{}, asked: map[int]int{}}
	report := map[string]any{"sdk": "go", "version": "5.1.4", "scenario": o.scenario, "mode": o.mode, "tls": o.tls, "run": o.run}
	var ok bool
	if o.scenario == "stream" {
		ok = s.stream(report)
	} else {
		ok = s.play()
	}
	s.mu.Lock()
	if o.scenario != "stream" || o.groups > 0 {
		report["sent"], report["received"], report["confirmed"] = s.sent, s.received, s.confirmed
		report["recalled"], report["refusals"] = s.recalled, s.refusals
		report["decided"], report["checks"] = s.decided, s.checks
	}
	report["beganMs"] = s.began.UnixMilli()
	report["errors"], report["failures"] = s.errors, s.failures
	report["ok"], report["elapsedMs"] = ok, time.Since(s.began).Milliseconds()
	_ = json.NewEncoder(os.Stdout).Encode(report)
	if !ok {
		os.Exit(1)
	}
	os.Exit(0)
}

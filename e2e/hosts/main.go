// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command hosts runs fake hosts in a test's network namespace: an IMDS, an Arc agent, or a web proxy, at the
// addresses of the real ones. It doesn't run anywhere else.
//
// It writes each request, and each connection to the proxy, to standard output. It reads commands from
// standard input, one per line, and writes a line when each is done. It exits at the end of its input:
//
//	sync                  do nothing; everything that happened before it is written first
//	stop                  refuse connections
//	start                 accept connections again
//	fail {"Status":404}   respond to every request with this azhosttest.Fault
//	restart               stop the Arc agent for a second when it receives the next key
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/e2e/internal/line"
	"github.com/azhost/azhost/e2e/internal/netns"
)

func main() {
	outside := flag.String("outside", "", "network namespace of the process that started this one")
	late := flag.Duration("late", 0, "how long to wait before listening")
	vm := flag.String("vm", "", "address of an IMDS")
	arc := flag.String("arc", "", "address of an Arc agent")
	keys := flag.String("keys", "", "the agent's key directory")
	proxy := flag.String("proxy", "", "address of a web proxy")
	perSecond := flag.Int("per-second", 0, "requests that IMDS allows per second; 0 means no limit")
	atOnce := flag.Int("at-once", 0, "requests that IMDS allows at a time; 0 means no limit")
	latency := flag.Duration("latency", 0, "how long a response from IMDS takes")
	flag.Parse()
	h := &hosts{out: line.NewWriter(os.Stdout)}
	err := netns.Confined(*outside)
	if err == nil {
		time.Sleep(*late)
		err = errors.Join(h.listenVM(*vm, *perSecond, *atOnce, *latency), h.listenArc(*arc, *keys), h.listenProxy(*proxy))
	}
	if err == nil {
		h.out.Write(line.Event{Done: "listen"})
		err = h.obey(os.Stdin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hosts:", err)
		os.Exit(1)
	}
}

type hosts struct {
	out     *line.Writer
	all     []*azhosttest.Host
	restart atomic.Bool // restart the agent when it receives the next key
}

func (h *hosts) listenVM(address string, perSecond, atOnce int, latency time.Duration) error {
	if address == "" {
		return nil
	}
	vm, err := azhosttest.ListenVM(address)
	if err != nil {
		return err
	}
	vm.Throttle(perSecond, atOnce)
	vm.SetLatency(latency)
	vm.OnRequest(func(r azhosttest.Request) { h.out.Write(line.Event{Host: "vm", Request: r}) })
	h.all = append(h.all, &vm.Host)
	return nil
}

func (h *hosts) listenArc(address, keys string) error {
	if address == "" {
		return nil
	}
	arc, err := azhosttest.ListenArc(address, keys)
	if err != nil {
		return err
	}
	arc.OnRequest(func(r azhosttest.Request) { h.out.Write(line.Event{Host: "arc", Request: r}) })
	arc.FailWhile(func(r azhosttest.Request) (azhosttest.Fault, bool) {
		if r.Header.Get("Authorization") == "" || !h.restart.CompareAndSwap(true, false) {
			return azhosttest.Fault{}, false
		}
		go h.restartArc(arc)
		return azhosttest.Fault{Delay: time.Minute}, true // the restart comes first
	})
	h.all = append(h.all, &arc.Host)
	return nil
}

// listenProxy writes every connection, so that the tests notice use of the proxy with any protocol.
func (h *hosts) listenProxy(address string) error {
	if address == "" {
		return nil
	}
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html>the proxy</html>", http.StatusForbidden)
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				h.out.Write(line.Event{Host: "proxy"})
			}
		},
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { _ = server.Serve(socket) }() // until the program ends
	return nil
}

// restartArc restarts the agent, which takes a second.
func (h *hosts) restartArc(arc *azhosttest.Arc) {
	arc.Stop()
	arc.Restart()
	time.Sleep(time.Second)
	if err := arc.Start(); err != nil {
		h.out.Write(line.Event{Host: "arc", Error: err.Error()})
	}
}

// obey runs the commands.
func (h *hosts) obey(in io.Reader) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		done := line.Event{Done: lines.Text()}
		if err := h.command(lines.Text()); err != nil {
			done.Error = err.Error()
		}
		h.out.Write(done)
	}
	for _, host := range h.all {
		host.Close()
	}
	return lines.Err()
}

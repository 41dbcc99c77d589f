// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

const watchInterval = 5 * time.Second

// watchChanges examines the machine every five seconds until ctx is done, and prints the verdict when it
// changes.
func (r *doctorRun) watchChanges(ctx context.Context, p process) error {
	type state struct {
		reason   reason
		host     string
		identity string
	}
	var last state
	for {
		d, err := r.examine(ctx, p)
		if err != nil {
			return err
		}
		r.answered = r.answered || d.isIMDS()
		if now := (state{d.report.Reason, d.report.Host, d.identity}); now != last {
			if err := r.printChange(p, d); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-time.After(watchInterval):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (r *doctorRun) printChange(p process, d *doctor) error {
	if r.json {
		e := json.NewEncoder(p.out)
		e.SetEscapeHTML(false)
		return e.Encode(struct {
			Time string `json:"time"`
			report
		}{stamp(time.Now()), d.report})
	}
	head := stamp(time.Now()) + "  "
	text := p.out.wrap(d.report.Verdict, head, strings.Repeat(" ", len(head)))
	_, err := fmt.Fprint(p.out, head, p.out.paint(d.report.color(), text[len(head):len(text)-1]), "\n")
	return err
}

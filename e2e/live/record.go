// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/azhost/azhost"
)

// record is what goes into docs/verified.md.
type record struct {
	host    string
	source  azhost.Source
	agent   string
	date    time.Time
	checks  []check
	answers []string
}

// markdown returns the record as a section of a page.
func (r record) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s, %s\n\n", r.host, r.date.Format("2 January 2006"))
	fmt.Fprintf(&b, "Detected as %s. Agent: %s. %s/%s, %s, azhost %s.\n\n",
		cmp.Or(string(r.source), "nothing"), cmp.Or(r.agent, "unknown"), runtime.GOOS, runtime.GOARCH, runtime.Version(), revision())
	b.WriteString("| promise | held | result | requests | took |\n| --- | --- | --- | ---: | ---: |\n")
	for _, c := range r.checks {
		held := "**no**"
		if c.held {
			held = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %s |\n", c.promise, held, c.result, c.requests, c.took.Round(time.Millisecond))
	}
	if len(r.answers) > 0 {
		b.WriteString("\nResponses:\n\n")
	}
	for _, a := range r.answers {
		fmt.Fprintf(&b, "- `%s`\n", a)
	}
	return b.String()
}

// revision returns the commit that this program was built from, which go run doesn't record.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, modified := "(unknown; use go build)", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	return commit + modified
}

var (
	product = regexp.MustCompile(`^[A-Za-z-]+/[0-9.]+$`)
	version = regexp.MustCompile(`[0-9]+(\.[0-9]+)+`)
)

// agent returns the version of what responded, or "". It gets the Arc agent's version from the agent's own
// command, and the others' from the Server header.
func agent(ctx context.Context, source azhost.Source, server string) string {
	if source == azhost.SourceAzureArc {
		out, err := exec.CommandContext(ctx, "azcmagent", "version").Output()
		if v := version.FindString(string(out)); err == nil && v != "" {
			return "azcmagent " + v
		}
	}
	if product.MatchString(server) {
		return server
	}
	return ""
}

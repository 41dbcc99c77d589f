// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"runtime"
	"strings"

	"github.com/azhost/azhost/internal/chassis"
	"github.com/azhost/azhost/internal/detect"
	"github.com/azhost/azhost/internal/keyfile"
)

// facts are what the doctor knows of the machine without asking anybody.
type facts struct {
	goos         string
	env          detect.Environment
	himds        []string          // where the Arc agent's binary would be
	azureVM      bool              // by the firmware
	proxies      map[string]string // the proxy variables that are set
	keyDirectory string            // the Arc agent's own
	list         func(dir string) error
}

// proxyVariables are those that HTTP clients honour.
func proxyVariables() []string {
	return []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"}
}

func readFacts() facts {
	f := facts{
		goos: runtime.GOOS, env: detect.Read(), himds: detect.HimdsPaths(runtime.GOOS, os.Getenv),
		azureVM: chassis.IsAzureVM(), proxies: map[string]string{}, list: list,
	}
	f.keyDirectory = keyfile.Directory(f.env.ProgramData)
	for _, name := range append(proxyVariables(), "NO_PROXY", "no_proxy") {
		if v := os.Getenv(name); v != "" {
			f.proxies[name] = v
		}
	}
	return f
}

// list reports whether this user may list a directory.
func list(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err = d.Readdirnames(1); errors.Is(err, io.EOF) {
		return nil // it is empty
	}
	return err
}

// withoutUser is a proxy's address without the name and password that it may hold, and which may
// themselves be no part of a valid URL.
func withoutUser(proxy string) string {
	scheme, rest, found := strings.Cut(proxy, "://")
	if !found {
		scheme, rest = "", proxy
	} else {
		scheme += "://"
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	if strings.Contains(scheme, "@") {
		scheme = ""
	}
	return printable(scheme + rest)
}

// place is an endpoint's URL without what may be secret in it.
func place(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return "something that is not a URL"
	}
	return printable(u.Scheme + "://" + u.Host + u.EscapedPath())
}

// exempts reports whether a NO_PROXY keeps requests to IMDS away from proxies. Whether a client
// understands an address range is its own affair.
func exempts(noProxy string) bool {
	imds := net.IPv4(169, 254, 169, 254)
	for _, entry := range strings.Split(noProxy, ",") {
		entry = strings.TrimSpace(entry)
		if _, block, err := net.ParseCIDR(entry); err == nil && block.Contains(imds) {
			return true
		}
		if entry == "*" || entry == imds.String() {
			return true
		}
	}
	return false
}

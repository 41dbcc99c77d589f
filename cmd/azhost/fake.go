// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

// fakeHost has the methods that the fakes of azhosttest have in common.
type fakeHost interface {
	Endpoint() string
	Environment() map[string]string
	SetIdentities(...azhosttest.Identity)
	SetTokenLifetime(time.Duration)
	SetLatency(time.Duration)
	Throttle(perSecond, atOnce int)
	FailWhile(func(azhosttest.Request) (azhosttest.Fault, bool))
	OnRequest(func(azhosttest.Request))
	Options() *azhost.ManagedIdentityCredentialOptions
	Close()
}

// fakeKind is a kind of host that can be faked.
type fakeKind struct {
	name   string
	what   string
	hint   []string // which clients use the variables; nil for all
	listen func(addr, keyDirectory string) (fakeHost, error)
	keys   bool // it has a key directory
}

func fakeKinds() []fakeKind {
	return []fakeKind{
		{"vm", "an Azure VM", []string{
			"MSAL.NET, MSAL Python, and the Azure SDK for JavaScript use the variable. Other",
			"clients, azhost among them, connect to 169.254.169.254 unless their code says",
			"otherwise.",
		}, func(addr, _ string) (fakeHost, error) { return azhosttest.ListenVM(addr) }, false},
		{"arc", "an Azure Arc-enabled server", []string{
			"All clients use the variables, but only azhost has an option for the key",
			"directory. For other clients on Linux, run this command with the option",
			"--key-directory /var/opt/azcmagent/tokens.",
		}, func(addr, keyDirectory string) (fakeHost, error) { return azhosttest.ListenArc(addr, keyDirectory) }, true},
		{"appservice", "App Service", nil, func(addr, _ string) (fakeHost, error) { return azhosttest.ListenAppService(addr) }, false},
		{"servicefabric", "Service Fabric", nil, func(addr, _ string) (fakeHost, error) { return azhosttest.ListenServiceFabric(addr) }, false},
		{"cloudshell", "Cloud Shell", nil, func(addr, _ string) (fakeHost, error) { return azhosttest.ListenCloudShell(addr) }, false},
		{"azureml", "Azure Machine Learning", nil, func(addr, _ string) (fakeHost, error) { return azhosttest.ListenAzureML(addr) }, false},
	}
}

func fakeNames() []string {
	var names []string
	for _, k := range fakeKinds() {
		names = append(names, k.name)
	}
	return names
}

// identityNames collects --user-assigned, which may be repeated.
type identityNames []string

func (n *identityNames) String() string { return strings.Join(*n, ",") }
func (n *identityNames) Get() any       { return []string(*n) }

func (n *identityNames) Set(name string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		return errors.New("isn't a name for an identity")
	}
	*n = append(*n, name)
	return nil
}

// limit is the value of --throttle.
type limit struct{ perSecond, atOnce int }

func (l *limit) String() string { return fmt.Sprintf("%d,%d", l.perSecond, l.atOnce) }
func (l *limit) Get() any       { return *l }

func (l *limit) Set(text string) error {
	a, b, _ := strings.Cut(text, ",")
	perSecond, err1 := strconv.Atoi(a)
	atOnce, err2 := strconv.Atoi(b)
	if err1 != nil || err2 != nil || perSecond < 1 || atOnce < 1 {
		return errors.New("isn't two numbers, requests per second and requests at a time, such as 20,5")
	}
	*l = limit{perSecond, atOnce}
	return nil
}

// fakeRun is one run of "azhost fake".
type fakeRun struct {
	addr, keyDirectory, shell string
	lifetime, latency         time.Duration
	userAssigned              identityNames
	throttle                  limit
	faults                    faults
	verbose                   bool
}

func (r *fakeRun) flags(flags *flag.FlagSet) {
	usual := "sh"
	if runtime.GOOS == "windows" {
		usual = "powershell"
	}
	flags.StringVar(&r.addr, "addr", "127.0.0.1:0", "")
	flags.StringVar(&r.keyDirectory, "key-directory", "", "")
	flags.StringVar(&r.shell, "shell", usual, "")
	flags.DurationVar(&r.lifetime, "lifetime", 24*time.Hour, "")
	flags.DurationVar(&r.latency, "latency", 0, "")
	flags.Var(&r.userAssigned, "user-assigned", "")
	flags.Var(&r.throttle, "throttle", "")
	flags.Var(&r.faults, "fault", "")
	flags.BoolVar(&r.verbose, "v", false, "")
	flags.BoolVar(&r.verbose, "verbose", false, "")
}

func (r *fakeRun) run(ctx context.Context, args arguments, p process) error {
	kind, err := r.check(args)
	if err != nil {
		return err
	}
	host, err := kind.listen(r.addr, r.keyDirectory)
	if err != nil {
		return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "azhosttest: "))
	}
	defer host.Close()
	if !loopback(r.addr) {
		text := fmt.Sprintf("azhost fake: warning: other machines can reach %s. Azure services reject its tokens, but programs that trust this server could be misled.", r.addr)
		fmt.Fprint(p.err, p.err.wrap(text, "", ""))
	}
	identities := r.shape(host)
	if args.command != nil {
		log := newRequestLog(p.err, r.verbose)
		host.OnRequest(log.add)
		err := runCommand(ctx, p, args.command, host.Environment())
		host.Close() // waits for the last request
		log.summarize("azhost fake: ")
		return err
	}
	log := newRequestLog(p.out, true)
	log.mu.Lock() // no request is logged before the introduction
	host.OnRequest(log.add)
	_, err = fmt.Fprint(p.out, kind.introduction(host, identities, r.shell))
	log.mu.Unlock()
	if err != nil {
		return err
	}
	<-ctx.Done()
	host.Close()
	log.summarize("# ")
	if err := stopped(ctx); err != nil {
		return reportedError{err}
	}
	return nil
}

// shape applies the options to a host, and returns its identities.
func (r *fakeRun) shape(host fakeHost) []azhosttest.Identity {
	identities := []azhosttest.Identity{azhosttest.SystemAssigned()}
	for _, name := range r.userAssigned {
		identities = append(identities, azhosttest.UserAssigned(name))
	}
	host.SetIdentities(identities...)
	host.SetTokenLifetime(r.lifetime)
	host.SetLatency(r.latency)
	host.Throttle(r.throttle.perSecond, r.throttle.atOnce)
	if len(r.faults.all) > 0 {
		host.FailWhile(r.faults.next)
	}
	return identities
}

// check returns the kind of host.
func (r *fakeRun) check(args arguments) (fakeKind, error) {
	if len(args.operands) == 0 {
		return fakeKind{}, usagef("the kind of host is missing; use one of %s", strings.Join(fakeNames(), ", "))
	}
	if err := oneOf("", args.operands[0], "a kind of host", fakeNames()); err != nil {
		return fakeKind{}, err
	}
	kind := fakeKinds()[slices.Index(fakeNames(), args.operands[0])]
	switch {
	case len(args.operands) > 1:
		return fakeKind{}, usagef("unexpected argument %q; write -- before a command to run", args.operands[1])
	case args.command != nil && len(args.command) == 0:
		return fakeKind{}, usagef("the command after -- is missing")
	case r.lifetime < time.Second:
		return fakeKind{}, usagef("--lifetime %s is less than a second", r.lifetime)
	case r.latency < 0:
		return fakeKind{}, usagef("--latency %s is negative", r.latency)
	case r.keyDirectory != "" && !kind.keys:
		return fakeKind{}, usagef("--key-directory is for arc; %s has no keys", kind.what)
	}
	return kind, oneOf("--shell", r.shell, "a shell", fakeShells())
}

// loopback reports whether an address to listen on can't be reached from other machines.
func loopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

// fakeHost is what the fakes of azhosttest have in common.
type fakeHost interface {
	Endpoint() string
	Environment() map[string]string
	SetIdentities(...azhosttest.Identity)
	SetTokenLifetime(time.Duration)
	OnRequest(func(azhosttest.Request))
	Options() *azhost.ManagedIdentityCredentialOptions
	Close()
}

// fakeKind is a kind of host that can be faked.
type fakeKind struct {
	name   string
	what   string
	hint   []string // who honours the variables; nil is everybody
	listen func(addr, keyDirectory string) (fakeHost, error)
	keys   bool // it has a key directory
}

func fakeKinds() []fakeKind {
	return []fakeKind{
		{"vm", "an Azure VM", []string{
			"MSAL.NET and the Azure SDK for JavaScript honour the variable. Other clients,",
			"azhost among them, ask 169.254.169.254 unless they are told otherwise in code.",
		}, func(addr, _ string) (fakeHost, error) { return azhosttest.ListenVM(addr) }, false},
		{"arc", "an Azure Arc-enabled server", []string{
			"Every client honours the variables, but only azhost can be told where the keys",
			"are. Others read them only where the agent writes them, so they need",
			"--key-directory /var/opt/azcmagent/tokens on Linux.",
		}, func(addr, keyDirectory string) (fakeHost, error) { return azhosttest.ListenArc(addr, keyDirectory) }, true},
		{"appservice", "App Service", nil, func(addr, _ string) (fakeHost, error) { return azhosttest.ListenAppService(addr) }, false},
		{"servicefabric", "Service Fabric", nil, func(addr, _ string) (fakeHost, error) { return azhosttest.ListenServiceFabric(addr) }, false},
		{"cloudshell", "Cloud Shell", nil, func(addr, _ string) (fakeHost, error) { return azhosttest.ListenCloudShell(addr) }, false},
		{"azureml", "Azure ML", nil, func(addr, _ string) (fakeHost, error) { return azhosttest.ListenAzureML(addr) }, false},
	}
}

// names collects a flag that may be repeated.
type names []string

func (n *names) String() string { return strings.Join(*n, ",") }

func (n *names) Set(name string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		return errors.New("not a name of an identity")
	}
	*n = append(*n, name)
	return nil
}

func runFake(ctx context.Context, args []string, p process) error {
	var kind fakeKind
	var known []string
	for _, k := range fakeKinds() {
		known = append(known, k.name)
		if len(args) > 0 && args[0] == k.name {
			kind = k
		}
	}
	var userAssigned names
	flags := flag.NewFlagSet("fake", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:0", "")
	keyDirectory := flags.String("key-directory", "", "")
	lifetime := flags.Duration("lifetime", 24*time.Hour, "")
	flags.Var(&userAssigned, "user-assigned", "")
	if kind.name == "" {
		if len(args) > 0 && strings.HasPrefix(args[0], "-") {
			if err := parse(flags, args); err != nil {
				return err
			}
		}
		return usageError{fmt.Errorf("name the kind of host first: %s", strings.Join(known, ", "))}
	}
	if err := parse(flags, args[1:]); err != nil {
		return err
	}
	switch {
	case *lifetime < time.Second:
		return usageError{fmt.Errorf("--lifetime %s is less than a second", *lifetime)}
	case *keyDirectory != "" && !kind.keys:
		return usageError{fmt.Errorf("--key-directory is for arc; %s has no keys", kind.what)}
	}
	host, err := kind.listen(*addr, *keyDirectory)
	if err != nil {
		return err
	}
	defer host.Close()
	if !loopback(*addr) {
		fmt.Fprintf(p.stderr, "azhost fake: warning: %s can be reached from other machines. Its tokens are worthless, but a program that trusts it can be led astray\n", *addr)
	}
	identities := []azhosttest.Identity{azhosttest.SystemAssigned()}
	for _, name := range userAssigned {
		identities = append(identities, azhosttest.UserAssigned(name))
	}
	host.SetIdentities(identities...)
	host.SetTokenLifetime(*lifetime)

	var mu sync.Mutex // guards stdout: the host answers several requests at once
	mu.Lock()
	host.OnRequest(func(r azhosttest.Request) {
		mu.Lock()
		defer mu.Unlock()
		identity := r.Selector
		if identity == "" {
			identity = "default"
		}
		fmt.Fprintf(p.stdout, "%s  %.10q  %d  resource %.200q  identity %.200q\n",
			r.Time.Format(time.TimeOnly), r.Method, r.Status, r.Resource, identity)
	})
	_, err = fmt.Fprint(p.stdout, kind.introduction(host, identities))
	mu.Unlock()
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// introduction says how to use the host, in lines that a shell can read.
func (k fakeKind) introduction(host fakeHost, identities []azhosttest.Identity) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# This is a fake of %s. Only its own key signs its tokens.\n#\n", k.what)
	for _, line := range k.hint {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	environment := host.Environment()
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		fmt.Fprintf(&b, "export %s=%s\n", name, quoted(environment[name]))
	}
	command := "azhost token --resource https://vault.azure.net"
	if k.hint != nil {
		command += k.inCode(&b, host.Options())
	} else {
		b.WriteString("#\n# Every client honours the variables.\n")
	}
	fmt.Fprintf(&b, "# In a shell:\n#   %s\n#\n# Identities:\n", command)
	for _, id := range identities {
		if id.ResourceID == "" {
			fmt.Fprintf(&b, "#   system-assigned: client ID %s, object ID %s\n", id.ClientID, id.ObjectID)
			continue
		}
		name := id.ResourceID[strings.LastIndexByte(id.ResourceID, '/')+1:]
		fmt.Fprintf(&b, "#   %s: client ID %s, object ID %s,\n#     resource ID %s\n", name, id.ClientID, id.ObjectID, id.ResourceID)
	}
	b.WriteString("#\n# The requests, until interrupted:\n")
	return b.String()
}

// inCode writes what to say in Go, and returns the flags that say the same.
func (k fakeKind) inCode(b *strings.Builder, o *azhost.ManagedIdentityCredentialOptions) string {
	fmt.Fprintf(b, "#\n# In Go:\n#   &azhost.ManagedIdentityCredentialOptions{\n#     Source:   %q,\n#     Endpoint: %q,\n", o.Source, o.Endpoint)
	flags := fmt.Sprintf(" --source %s --endpoint %s", o.Source, o.Endpoint)
	if o.ArcKeyDirectory != "" {
		fmt.Fprintf(b, "#     ArcKeyDirectory: %q,\n", o.ArcKeyDirectory)
		flags += " --arc-key-directory " + quoted(o.ArcKeyDirectory)
	}
	b.WriteString("#   }\n")
	return flags
}

// loopback reports whether an address to listen at is of this machine alone.
func loopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

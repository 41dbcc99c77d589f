// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

// shell is how a shell sets variables and writes comments.
type shell struct {
	comment string
	quoted  func(string) string
	set     string // a format for a name and a quoted value
}

// fakeShells are the values of --shell.
func fakeShells() []string { return []string{"sh", "powershell", "cmd"} }

func newShell(name string) shell {
	switch name {
	case "powershell":
		return shell{"#", powershellQuoted, "$env:%s = %s\n"}
	case "cmd":
		return shell{"rem", func(s string) string { return `"` + s + `"` }, ""}
	}
	return shell{"#", posixQuoted, "export %s=%s\n"}
}

// setting returns the command that sets a variable.
func (s shell) setting(name, value string) string {
	if s.set == "" {
		return fmt.Sprintf("set \"%s=%s\"\n", name, value)
	}
	return fmt.Sprintf(s.set, name, s.quoted(value))
}

// introduction returns the lines that say how to use the host, which a shell can run.
func (k fakeKind) introduction(host fakeHost, identities []azhosttest.Identity, shellName string) string {
	s := newShell(shellName)
	var b strings.Builder
	comment := func(format string, args ...any) {
		b.WriteString(strings.TrimSpace(s.comment+" "+fmt.Sprintf(format, args...)) + "\n")
	}
	comment("This is a fake of %s. Azure services reject its tokens.", k.what)
	comment("")
	for _, line := range k.hint {
		comment("%s", line)
	}
	environment := host.Environment()
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		b.WriteString(s.setting(name, environment[name]))
	}
	comment("")
	command := "azhost token vault"
	if k.hint == nil {
		comment("All clients use the variables.")
	} else {
		o := host.Options()
		comment("In Go:")
		for _, line := range inCode(o) {
			comment("  %s", line)
		}
		command += fmt.Sprintf(" --source %s --endpoint %s", o.Source, o.Endpoint)
		if o.ArcKeyDirectory != "" {
			command += " --arc-key-directory " + s.quoted(o.ArcKeyDirectory)
		}
	}
	comment("In a shell:")
	comment("  %s", command)
	comment("")
	comment("Identities:")
	for _, id := range identities {
		name := "system-assigned"
		if id.ResourceID != "" {
			name = id.ResourceID[strings.LastIndexByte(id.ResourceID, '/')+1:]
		}
		comment("  %s", name)
		comment("    client ID   %s", id.ClientID)
		comment("    object ID   %s", id.ObjectID)
		if id.ResourceID != "" {
			comment("    resource ID %s", id.ResourceID)
		}
	}
	comment("")
	comment("Press Ctrl+C to stop. Requests:")
	return b.String()
}

// inCode returns the options in Go.
func inCode(o *azhost.ManagedIdentityCredentialOptions) []string {
	lines := []string{
		"&azhost.ManagedIdentityCredentialOptions{",
		fmt.Sprintf("  Source:   %q,", o.Source),
		fmt.Sprintf("  Endpoint: %q,", o.Endpoint),
	}
	if o.ArcKeyDirectory != "" {
		lines = append(lines, fmt.Sprintf("  ArcKeyDirectory: %q,", o.ArcKeyDirectory))
	}
	return append(lines, "}")
}

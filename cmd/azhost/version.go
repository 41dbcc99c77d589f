// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionRun is one run of "azhost version".
type versionRun struct{}

func (*versionRun) flags(*flag.FlagSet) {}

func (*versionRun) run(_ context.Context, args arguments, p process) error {
	if err := args.none(); err != nil {
		return err
	}
	version, revision := version()
	if revision != "" {
		revision = " " + revision
	}
	_, err := fmt.Fprintf(p.out, "azhost %s%s %s %s/%s\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// version returns the version of azhost, and the revision that it was built from if that is known.
func version() (version, revision string) {
	version = "(devel)"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, ""
	}
	if info.Main.Version != "" {
		version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return version, revision
}

// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

func main() {
	against := flag.String("against", "", "benchmarks `folder` of another checkout, to measure in turn with this one")
	rounds := flag.Int("rounds", 5, "how many processes measure each row")
	flag.Parse()
	if err := run(*against, *rounds, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

// run measures all rows and prints the table of this folder, then that of the other one, if any.
func run(against string, rounds int, args []string) error {
	folders := []string{"."}
	if against != "" {
		folders = append(folders, against)
	}
	results := make([]bytes.Buffer, len(folders))
	// Each measurement has its own process, because azidentity has one cache per process. The rounds follow
	// one another, so that a machine that slows down affects every folder in the row.
	for _, work := range []string{"(Parallel)?Hit$", "HitObserved", "HitTraced", "Use", "Fetch", "Observe", "Herd", "Health", "Memory"} {
		for range rounds {
			for i, folder := range folders {
				all := append([]string{"test", "-run", "^$", "-bench", "^Benchmark" + work, "-benchmem", "-benchtime", "300ms", "-timeout", "30m"}, args...)
				cmd := exec.Command("go", all...)
				cmd.Dir = folder
				cmd.Stdout, cmd.Stderr = io.MultiWriter(&results[i], os.Stderr), os.Stderr
				if err := cmd.Run(); err != nil {
					return fmt.Errorf("measure %s in %s: %w", work, folder, err)
				}
			}
		}
	}
	for i, folder := range folders {
		if against != "" {
			fmt.Printf("\n## %s\n\n", folder)
		}
		if err := table(os.Stdout, &results[i]); err != nil {
			return err
		}
	}
	return nil
}

// measured has a benchmark's values by unit, one for each time that it ran.
type measured map[string][]float64

// median returns the middle value, which one slow run doesn't change.
func (m measured) median(unit string) (float64, bool) {
	values := slices.Sorted(slices.Values(m[unit]))
	if len(values) == 0 {
		return 0, false
	}
	return values[len(values)/2], true
}

// table writes the output of go test as a table, with the ratios of azhost to the floor and of azidentity to
// azhost.
func table(w io.Writer, results io.Reader) error {
	work := map[string]map[string]measured{} // by benchmark, then by peer
	var order, machine []string
	lines := bufio.NewScanner(results)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) > 1 && (fields[0] == "cpu:" || fields[0] == "goos:" || fields[0] == "goarch:"):
			if len(order) == 0 {
				machine = append(machine, strings.Join(fields[1:], " "))
			}
			continue
		case len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark"):
			continue
		}
		name, peer := fields[0][len("Benchmark"):], ""
		if i := strings.LastIndexByte(name, '/'); i >= 0 {
			name, peer = name[:i], name[i+1:]
		}
		peer, cores, _ := strings.Cut(peer, "-")
		if len(order) == 0 {
			machine = append(machine, cores+" cores")
		}
		if work[name] == nil {
			order = append(order, name)
			work[name] = map[string]measured{}
		}
		if work[name][peer] == nil {
			work[name][peer] = measured{}
		}
		for i := 2; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("read %q: %w", lines.Text(), err)
			}
			work[name][peer][fields[i+1]] = append(work[name][peer][fields[i+1]], v)
		}
	}
	fmt.Fprintf(w, "Medians, %s.\n\n", strings.Join(machine, ", "))
	fmt.Fprintln(w, "| | unit | floor | azhost | azhost / floor | azidentity | azidentity / azhost |")
	fmt.Fprintln(w, "| --- | --- | ---: | ---: | ---: | ---: | ---: |")
	for _, name := range order {
		for _, unit := range units(work[name]["azhost"]) {
			low, hasLow := work[name]["floor"].median(unit)
			ours, _ := work[name]["azhost"].median(unit)
			theirs, hasTheirs := work[name]["azidentity"].median(unit)
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |\n", name, unit,
				number(low, hasLow), number(ours, true), ratio(ours, low, hasLow),
				number(theirs, hasTheirs), ratio(theirs, ours, hasTheirs))
		}
	}
	return lines.Err()
}

// units returns the units to show for a benchmark: its own if it has one, otherwise time and allocations.
func units(m measured) []string {
	for _, own := range []string{"ns/call", "requests/herd", "B/token"} {
		if len(m[own]) > 0 {
			return []string{own}
		}
	}
	return []string{"ns/op", "allocs/op"}
}

func number(v float64, known bool) string {
	switch {
	case !known:
		return ""
	case v < 1000:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

func ratio(v, to float64, known bool) string {
	if !known || to == 0 {
		return ""
	}
	return strconv.FormatFloat(v/to, 'f', 2, 64)
}

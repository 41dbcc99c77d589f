// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"embed"
	"path"
	"strings"
)

// pages are the help pages. Each fits a screen: at most 40 lines of 80 columns.
//
//go:embed help/*.txt
var pages embed.FS

// page returns a help page.
func page(name string) string {
	text, err := pages.ReadFile("help/" + name + ".txt")
	if err != nil {
		panic(err) // the program was built without the page
	}
	return string(text)
}

// pageNames returns the names of the help pages: the commands and the topics.
func pageNames() []string {
	entries, err := pages.ReadDir("help")
	if err != nil {
		panic(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(path.Base(e.Name()), ".txt"))
	}
	return names
}

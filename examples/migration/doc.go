// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package migration has no code. Its tests compile and run the snippets in MIGRATION.md and in
// kubernetes/README.md.
package migration

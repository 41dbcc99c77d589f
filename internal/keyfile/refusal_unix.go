// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build unix

package keyfile

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// maxGroups bounds how many groups are named.
const maxGroups = 16

// permissions describes the mode, owner, and group of a file. info may be nil.
func permissions(info fs.FileInfo) string {
	if info == nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf(" (mode %04o, owner %s, group %s)", info.Mode().Perm(), userName(int(stat.Uid)), groupName(int(stat.Gid)))
}

// caller describes the user and the groups of this process.
func caller() string {
	gids, _ := os.Getgroups() // may lack the effective one
	gids = append(gids, os.Getegid())
	slices.Sort(gids)
	gids = slices.Compact(gids)
	var names []string
	for _, gid := range gids[:min(len(gids), maxGroups)] {
		names = append(names, groupName(gid))
	}
	if more := len(gids) - maxGroups; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	uid := os.Geteuid()
	text := fmt.Sprintf("uid %d (user %s, groups %s)", uid, userName(uid), strings.Join(names, " and "))
	if mapped, err := os.ReadFile("/proc/self/uid_map"); err == nil && inUserNamespace(string(mapped)) {
		text += " in a user namespace, where root and groups are not the host's" // as in a rootless container
	}
	return text
}

// inUserNamespace reports whether the text of /proc/self/uid_map maps IDs to others.
func inUserNamespace(uidMap string) bool {
	return !slices.Equal(strings.Fields(uidMap), []string{"0", "0", "4294967295"})
}

// userName and groupName return the name of an ID, or its number if it has no name.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return cmp.Or(u.Username, id)
	}
	return id
}

func groupName(gid int) string {
	id := strconv.Itoa(gid)
	if g, err := user.LookupGroupId(id); err == nil {
		return cmp.Or(g.Name, id)
	}
	return id
}

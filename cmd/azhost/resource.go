// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"slices"
	"strings"
)

// resource is a service that tokens are for, with a short name. Its URIs are in the order of cloudNames; ""
// means that the cloud does not have the service.
type resource struct {
	name string
	uris [3]string
}

func cloudNames() []string { return []string{"public", "usgov", "china"} }

// resources returns the resources that the Azure SDKs use for each cloud. Trailing slashes matter.
func resources() []resource {
	return []resource{
		{"arm", [3]string{"https://management.azure.com/", "https://management.usgovcloudapi.net/", "https://management.chinacloudapi.cn/"}},
		{"vault", [3]string{"https://vault.azure.net", "https://vault.usgovcloudapi.net", "https://vault.azure.cn"}},
		{"storage", [3]string{"https://storage.azure.com/", "https://storage.azure.com/", "https://storage.azure.com/"}},
		{"sql", [3]string{"https://database.windows.net/", "https://database.usgovcloudapi.net/", "https://database.chinacloudapi.cn/"}},
		{"postgres", [3]string{
			"https://ossrdbms-aad.database.windows.net", "https://ossrdbms-aad.database.usgovcloudapi.net", "https://ossrdbms-aad.database.chinacloudapi.cn",
		}},
		{"graph", [3]string{"https://graph.microsoft.com/", "https://graph.microsoft.us/", "https://microsoftgraph.chinacloudapi.cn"}},
		{"servicebus", [3]string{"https://servicebus.azure.net/", "https://servicebus.azure.net/", "https://servicebus.azure.net/"}},
		{"logs", [3]string{"https://api.loganalytics.io", "https://api.loganalytics.us", "https://api.loganalytics.azure.cn"}},
		{"aks", [3]string{aksServer, aksServer, aksServer}},
		{"exchange", [3]string{"api://AzureADTokenExchange", "api://AzureADTokenExchangeUSGov", "api://AzureADTokenExchangeChina"}},
	}
}

// aksServer is the application ID of every AKS cluster that uses Microsoft Entra ID.
const aksServer = "6dae42f8-4368-4678-94ff-3960e28e3630"

func resourceNames() []string {
	var names []string
	for _, r := range resources() {
		names = append(names, r.name)
	}
	return names
}

// resolveResource returns the URI that a name stands for, and any other text unchanged.
func resolveResource(text, cloud string) (string, error) {
	if err := oneOf("--cloud", cloud, "a cloud", cloudNames()); err != nil {
		return "", err
	}
	for _, r := range resources() {
		if r.name == text {
			return r.uris[slices.Index(cloudNames(), cloud)], nil
		}
	}
	switch {
	case strings.TrimSuffix(text, "/.default") == "" || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return "", usagef("%q isn't a resource; write for example vault or https://vault.azure.net", text)
	case !strings.ContainsFunc(text, func(c rune) bool { return c < 'a' || c > 'z' }):
		known := fmt.Sprintf("the names are %s", strings.Join(resourceNames(), ", "))
		return "", usagef("%q is neither a URI nor the name of a resource; %s%s", text, known, didYouMean(text, resourceNames()))
	}
	return text, nil
}

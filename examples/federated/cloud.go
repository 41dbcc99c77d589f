// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"

// clouds are the clouds by name. A managed identity's token must have the cloud's audience for
// Microsoft Entra to accept it in place of a secret.
var clouds = map[string]struct {
	cloud.Configuration
	audience string
}{
	"public": {cloud.AzurePublic, "api://AzureADTokenExchange"},
	"usgov":  {cloud.AzureGovernment, "api://AzureADTokenExchangeUSGov"},
	"china":  {cloud.AzureChina, "api://AzureADTokenExchangeChina"},
}

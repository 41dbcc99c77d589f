// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"

// clouds has the clouds by name. A managed identity's token must have the cloud's audience, so that Microsoft
// Entra ID accepts it instead of a secret.
var clouds = map[string]struct {
	cloud.Configuration
	audience string
}{
	"public": {cloud.AzurePublic, "api://AzureADTokenExchange"},
	"usgov":  {cloud.AzureGovernment, "api://AzureADTokenExchangeUSGov"},
	"china":  {cloud.AzureChina, "api://AzureADTokenExchangeChina"},
}

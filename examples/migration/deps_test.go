// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package migration

// The snippets use these packages, which keeps them in go.mod.
import (
	_ "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	_ "github.com/Azure/go-autorest/autorest"
	_ "github.com/Azure/go-autorest/autorest/adal"
	_ "github.com/Azure/go-autorest/autorest/azure/auth"
	_ "github.com/AzureAD/microsoft-authentication-library-for-go/apps/managedidentity"
)

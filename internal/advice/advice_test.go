// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package advice

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFor(t *testing.T) {
	const (
		assign = `Check that the user-assigned identity with client ID "me" is assigned to this `
		me     = `client ID "me"`
	)
	for _, test := range []struct {
		name string
		f    Failure
		want string
	}{
		// Error codes of Microsoft Entra ID come first, whichever host passes them on.
		{"application not found", Failure{Host: "IMDS", Status: 400, Code: "unauthorized_client", Text: "AADSTS700016: Application not found"}, AppNotFound},
		{"the same for the Arc agent", Failure{Host: "AzureArc", Status: 400, Text: "AADSTS700016: Application not found"}, AppNotFound},
		{"the same in the middle of a text", Failure{Host: "AppService", Status: 500, Text: "Failed: (AADSTS700016) not found"}, AppNotFound},
		{"the same as a code", Failure{Host: "ServiceFabric", Status: 400, Code: "AADSTS700016"}, AppNotFound},
		{"application disabled", Failure{Host: "IMDS", Status: 401, Text: "AADSTS7000112: Application is disabled"}, AppDisabled},
		{"resource not found", Failure{Host: "IMDS", Status: 400, Code: "invalid_resource", Text: "AADSTS500011: The resource principal was not found"}, NoResource},
		{"resource not found, old code", Failure{Host: "CloudShell", Status: 400, Text: "AADSTS50001"}, NoResource},
		{"Entra is busy", Failure{Host: "IMDS", Status: 503, Text: "AADSTS90033: transient"}, EntraBusy},
		{"no federated identity", Failure{Host: "IMDS", Status: 403, Text: "AADSTS70021: No matching federated identity record"}, NoFederation},
		{"a code without advice", Failure{Host: "IMDS", Status: 400, Text: "AADSTS53003: Blocked by policy"}, ""},
		{"a code that begins like one with advice", Failure{Host: "IMDS", Status: 400, Text: "AADSTS5000112: something else"}, ""},
		{"a code without advice is not about the secret", Failure{Host: "AzureML", Status: 401, Text: "AADSTS53003"}, ""},
		{"a code without advice is not about the resource", Failure{Host: "AppService", Status: 500, Text: "AADSTS53003"}, ""},

		// A failure of this process says nothing about the host.
		{"no files left", Failure{Host: "IMDS", Problem: Local, OnAzure: true}, ""},
		{"no files left, Arc", Failure{Host: "AzureArc", Problem: Local}, ""},
		{"no files left, App Service", Failure{Host: "AppService", Problem: Local}, ""},

		// IMDS doesn't respond.
		{"off Azure", Failure{Host: "IMDS", Problem: NotListening}, NotAzure},
		{"off Azure, silent", Failure{Host: "IMDS", Problem: Silent}, NotAzure},
		{"off Azure, broken connection", Failure{Host: "IMDS", Problem: Broken}, NotAzure},
		{"off Azure, no response", Failure{Host: "IMDS", Problem: NoResponse}, Overloaded},
		{"on Azure", Failure{Host: "IMDS", Problem: NotListening, OnAzure: true}, Blocked},
		{"on Azure, silent", Failure{Host: "IMDS", Problem: Silent, OnAzure: true}, Blocked},
		{"on Azure, no response", Failure{Host: "IMDS", Problem: NoResponse, OnAzure: true, Pod: true}, Overloaded},
		{"in a pod on Azure", Failure{Host: "IMDS", Problem: Silent, OnAzure: true, Pod: true}, PodBlocked},
		{"in a pod elsewhere", Failure{Host: "IMDS", Problem: NotListening, Pod: true}, PodBlocked},
		{"responded before", Failure{Host: "IMDS", Problem: Broken, Responded: true, OnAzure: true, Pod: true}, RespondedOnce},
		{"something else", Failure{Host: "IMDS", Problem: Foreign, Status: 200}, Impostor + ". " + NotAzure},

		// Responses of IMDS.
		{"allow list", Failure{Host: "IMDS", Status: 403, Empty: true, OnAzure: true}, AllowList},
		{"allow list, unknown process", Failure{Host: "IMDS", Status: 421, Empty: true}, AllowList},
		{"403 with a text", Failure{Host: "IMDS", Status: 403, Text: "no"}, ""},
		{"agent offline", Failure{Host: "IMDS", Status: 502, Empty: true}, AgentOffline},
		{"agent offline, 503", Failure{Host: "IMDS", Status: 503, Empty: true}, AgentOffline},
		{"web proxy", Failure{Host: "IMDS", Status: 502, Text: "Bad Gateway"}, WebProxy},
		{"web proxy, 504", Failure{Host: "IMDS", Status: 504, Empty: true}, WebProxy},
		{"503 with a text", Failure{Host: "IMDS", Status: 503, Text: "busy"}, ""},
		{"updating", Failure{Host: "IMDS", Status: 410, Empty: true}, ""},
		{"throttled", Failure{Host: "IMDS", Status: 429}, ""},
		{"API version", Failure{Host: "IMDS", Status: 400, NewestVersions: true}, APIVersion},
		{"forwarded", Failure{Host: "IMDS", Status: 400, Code: "invalid_request", Text: "X-Forwarded-For is not allowed"}, NoForwarding},
		{"resource", Failure{Host: "IMDS", Status: 400, Code: "invalid_resource", Text: "no"}, NoResource},
		{"several identities", Failure{Host: "IMDS", Status: 400, Code: "invalid_request", Text: "Multiple user assigned identities exist"}, ChooseOne},
		{"no identity", Failure{Host: "IMDS", Status: 400, Code: "invalid_request", Text: "Identity not found"}, AssignOne},
		{"no such identity", Failure{Host: "IMDS", Status: 400, Text: "Identity not found", Identity: me}, assign + "machine"},
		{"400 without a text", Failure{Host: "IMDS", Status: 400, Empty: true}, AssignOne},
		{"400 with another text", Failure{Host: "IMDS", Status: 400, Code: "invalid_request", Text: "Something else", Identity: me}, ""},
		{"another identity's token", Failure{Host: "IMDS", Problem: OtherIdentity, Status: 200, Identity: me}, assign + "machine"},

		{"agent stopped", Failure{Host: "AzureArc", Problem: NotListening}, AgentStopped},
		{"agent silent", Failure{Host: "AzureArc", Problem: Silent}, AgentStopped},
		{"agent closes the connection", Failure{Host: "AzureArc", Problem: Broken}, ""},
		{"agent rejects", Failure{Host: "AzureArc", Status: 500}, AgentStatus},
		{"agent rejects its key", Failure{Host: "AzureArc", Problem: KeyRefused, Status: 401}, KeyRejected},
		{"agent has no identity", Failure{Host: "AzureArc", Status: 404}, AgentStatus},
		{"agent: no such identity", Failure{Host: "AzureArc", Status: 404, Identity: me}, assign + "server, or leave ID nil for the system-assigned identity"},
		{"agent: no such identity, 400", Failure{Host: "AzureArc", Status: 400, Code: "identity_not_found", Identity: me}, assign + "server, or leave ID nil for the system-assigned identity"},
		{"agent is old", Failure{Host: "AzureArc", Problem: NoEcho, Status: 200, Identity: me}, AgentOutdated},

		{"platform down", Failure{Host: "AppService", Problem: NotListening}, PlatformMoved},
		{"platform silent", Failure{Host: "CloudShell", Problem: Silent}, PlatformMoved},
		{"platform closes the connection", Failure{Host: "AppService", Problem: Broken}, ""},
		{"App Service: resource", Failure{Host: "AppService", Status: 500, Own: true, Text: "An unexpected error occurred"}, AppResource},
		{"App Service: empty body", Failure{Host: "AppService", Status: 500, Empty: true}, AppResource},
		{"App Service: header", Failure{Host: "AppService", Status: 401, Own: true, Text: "The header is wrong"}, WrongHeader},
		{"App Service: no identity", Failure{Host: "AppService", Status: 400, Own: true, Text: "No Managed Identity found"}, AssignOne},
		{"App Service: no such identity", Failure{Host: "AppService", Status: 400, Own: true, Text: "No User Assigned Identity found", Identity: me}, assign + "app"},
		{"App Service: identity, empty body", Failure{Host: "AppService", Status: 404, Empty: true, Identity: me}, assign + "app"},
		{"App Service: API version", Failure{Host: "AppService", Status: 400, Own: true, Text: "The api-version is not supported"}, ""},
		{"App Service: path", Failure{Host: "AppService", Status: 404, Own: true, Text: "There is nothing at this path"}, ""},
		{"App Service: a proxy's 400", Failure{Host: "AppService", Status: 400, Text: "<html>No identity</html>"}, ""},
		{"App Service: a proxy's 403", Failure{Host: "AppService", Status: 403, Text: "<html>Forbidden</html>"}, ""},
		{"App Service: a proxy's 500", Failure{Host: "AppService", Status: 500, Text: "oops"}, ""},
		{"App Service: busy", Failure{Host: "AppService", Status: 503}, ""},
		{"Service Fabric: identity", Failure{Host: "ServiceFabric", Status: 404, Code: "ManagedIdentityNotFound"}, BindIdentity},
		{"Service Fabric: header", Failure{Host: "ServiceFabric", Status: 404, Code: "SecretHeaderNotFound"}, WrongHeader},
		{"Service Fabric: scope", Failure{Host: "ServiceFabric", Status: 500, Code: "InternalServerError"}, FabricScope},
		{"Service Fabric: unknown", Failure{Host: "ServiceFabric", Status: 500, Code: "x"}, ""},
		{"Cloud Shell: scope", Failure{Host: "CloudShell", Status: 400, Code: "AudienceNotSupported"}, ShellScope},
		{"Cloud Shell: unknown", Failure{Host: "CloudShell", Status: 400}, ""},
		{"Azure ML: secret", Failure{Host: "AzureML", Status: 403, Empty: true}, WrongSecret},
		{"Azure ML: identity", Failure{Host: "AzureML", Status: 404, Own: true, Text: "Identity not found"}, MLIdentity},
		{"Azure ML: identity, empty body", Failure{Host: "AzureML", Status: 400, Empty: true}, MLIdentity},
		{"Azure ML: API version", Failure{Host: "AzureML", Status: 400, Own: true, Text: "The api-version is not supported"}, ""},
		{"Azure ML: a proxy's 404", Failure{Host: "AzureML", Status: 404, Text: "<html>nginx</html>"}, ""},
		{"Azure ML: a proxy's 401", Failure{Host: "AzureML", Status: 401, Text: "log in"}, ""},
		{"Azure ML: busy", Failure{Host: "AzureML", Status: 500}, ""},
		{"unknown host", Failure{Host: "x", Status: 500}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, For(test.f))
			require.NotRegexp(t, `[.!?]$`, test.want, "the caller adds the period")
		})
	}
}

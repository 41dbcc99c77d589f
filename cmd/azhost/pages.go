// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

// The manuals. Each fits a screen: at most 40 lines of 80 columns.

const mainPage = `NAME
    azhost - tokens for the managed identity of this machine

SYNOPSIS
    azhost command [options]

DESCRIPTION
    Gets Microsoft Entra tokens from the Azure host that it runs on: an Azure
    VM, an Azure Arc-enabled server, App Service and the like.

    token     print a token
    doctor    say which host this is, and what is wrong
    fake      serve a fake host on this machine
    version   print the version
    help      print a command's manual, or this page

EXIT STATUS
    0   done
    2   the command line is wrong
    3   this machine has no managed identity to offer
    4   the host refused, or anything else failed

EXAMPLES
    azhost token --resource https://vault.azure.net
    azhost doctor
    azhost help token
`

const tokenPage = `NAME
    azhost token - print a token

SYNOPSIS
    azhost token --resource R [options]

DESCRIPTION
    Asks this machine's host for a token. On a terminal, a long wait shows
    itself on standard error; interrupt to end it.

OPTIONS
    --resource R     what the token is for; a scope (R/.default) will do
    --client-id X    the user-assigned identity with this client ID,
    --object-id X    with this object ID,
    --resource-id X  or with this resource ID; only one of them.
                     Without any, the system-assigned identity
    --source S       the host, instead of detecting it: IMDS, AzureArc,
                     AppService, ServiceFabric, CloudShell, AzureML
    --endpoint URL   the token endpoint, instead of the host's own
    --arc-key-directory D
                     where the Arc agent's keys are, if not in its own directory
    --timeout T      the longest wait (2m30s)
    -o F             token (default), json, header, env (lines for a shell),
                     exec-credential (for kubectl)

EXIT STATUS
    0 a token; 2 the command line is wrong; 3 no managed identity here;
    4 refused, or anything else failed

EXAMPLES
    azhost token --resource https://management.azure.com/ -o header |
        curl -H @- "$URL"
    eval "$(azhost token --resource https://storage.azure.com -o env)"
`

const doctorPage = `NAME
    azhost doctor - say which host this is, and what is wrong

SYNOPSIS
    azhost doctor [--json] [options]

DESCRIPTION
    Looks at the environment, the disk and the firmware, at the proxy variables,
    at the endpoint and, on Azure Arc, at the key directory; then asks for a
    token, once, and says what it says. Every finding is "ok", "note" or "bad",
    and comes with what to do. Neither tokens nor the values of variables that
    hold secrets are printed.

OPTIONS
    --json           {"findings":[{"check","status","detail","todo"},...]}
    --resource R     what to ask a token for (https://management.azure.com/)
    --timeout T      the longest wait altogether (10s)
    --client-id, --object-id, --resource-id, --source, --endpoint,
    --arc-key-directory
                     as with "azhost token"

EXIT STATUS
    0 a token; 2 the command line is wrong; 3 no managed identity here;
    4 refused, or anything else failed

EXAMPLES
    azhost doctor
    azhost doctor --resource https://vault.azure.net --client-id X
    azhost doctor --json | jq '.findings[] | select(.status == "bad")'
`

const fakePage = `NAME
    azhost fake - serve a fake host on this machine

SYNOPSIS
    azhost fake KIND [options]

DESCRIPTION
    Serves a fake host until interrupted: vm, arc (Azure Arc-enabled server),
    appservice, servicefabric, cloudshell or azureml. Prints the variables that
    point clients at it, then a line for each request.

    Its tokens look real, but are signed with a key of its own, which it
    publishes at /.well-known/jwks.json. No Azure service accepts them.

OPTIONS
    --addr A          where to listen (127.0.0.1:0, a free port)
    --lifetime D      how long its tokens live (24h)
    --user-assigned N a user-assigned identity of this name, beside the
                      system-assigned one; may be repeated
    --key-directory D arc: where to write the keys (a temporary directory)

EXIT STATUS
    0 interrupted; 2 the command line is wrong; 4 anything else failed

EXAMPLES
    azhost fake vm --user-assigned reports --lifetime 10m
    azhost fake arc --addr 127.0.0.1:40342
`

const versionPage = `NAME
    azhost version - print the version

SYNOPSIS
    azhost version

DESCRIPTION
    Prints the version, the revision where known, the Go release and the
    platform that azhost was built with.

EXIT STATUS
    0 always
`

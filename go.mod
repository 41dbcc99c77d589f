module github.com/azhost/azhost

go 1.26.0

require (
	github.com/Azure/azure-sdk-for-go/sdk/azcore v1.24.0
	github.com/stretchr/testify v1.12.1
)

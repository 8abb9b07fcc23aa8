metadata description = 'The function app on a Flex Consumption plan of its own, with its settings.'

@description('Name of the app and of its plan.')
param name string

@description('Where they are.')
param location string

@description('Their tags.')
param tags object

@description('Resource ID of the identity that the app has.')
param identityId string

@description('Client ID of that identity.')
param clientId string

@description('Name of the storage account.')
param storageName string

@description('Name of the Application Insights component.')
param insightsName string

@description('Resource ID of the subnet that the app is in; empty for none.')
param subnetId string

@description('Version of Python.')
param pythonVersion string

@description('Memory of an instance in MB.')
param instanceMemoryMB int

@description('Most instances of a group of functions.')
param maximumInstanceCount int

@description('Requests that an instance takes at a time.')
param httpConcurrency int

@description('Instances that are always ready for requests.')
param alwaysReadyHttp int

@description('Instances that are always ready for blob triggers.')
param alwaysReadyBlob int

@description('Whether instances are spread over the zones of the region.')
param zoneRedundant bool

@description('Whether the app sends audit records and traces as data.')
param openTelemetry bool

@description('Traces a second that are kept of an instance.')
param tracesPerSecond int

@description('Settings of the service that the deployment decides: name and text. URLs in them may have keys.')
@secure()
param settings object

var alwaysReady = filter(
  [
    { name: 'http', instanceCount: alwaysReadyHttp }
    { name: 'blob', instanceCount: alwaysReadyBlob }
  ],
  group => group.instanceCount > 0
)

// What each connection of the host, and the service, must be told to reach the account by the identity.
var endpoints = account.properties.primaryEndpoints
var connections = {
  AzureWebJobsStorage__blobServiceUri: endpoints.blob
  AzureWebJobsStorage__queueServiceUri: endpoints.queue
  AzureWebJobsStorage__tableServiceUri: endpoints.table
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: clientId
  DicomStorage__blobServiceUri: endpoints.blob
  DicomStorage__queueServiceUri: endpoints.queue
  DicomStorage__tableServiceUri: endpoints.table
  DicomStorage__credential: 'managedidentity'
  DicomStorage__clientId: clientId
}

var platform = {
  APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${clientId};Authorization=AAD'
  // Streamed request bodies and dependencies of our own need both below Python 3.13, where they are the default.
  PYTHON_ENABLE_INIT_INDEXING: '1'
  PYTHON_ISOLATE_WORKER_DEPENDENCIES: '1'
  // Telemetry of the worker's own has what searches look for.
  PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'false'
  // The only source of a blob trigger that the plan takes.
  DicomBlobSource: 'EventGrid'
}

// The host and the worker have to change over together, or each line is sent by both.
var telemetry = {
  PYTHON_ENABLE_OPENTELEMETRY: 'true'
  AzureFunctionsJobHost__telemetryMode: 'OpenTelemetry'
  OTEL_TRACES_SAMPLER: 'microsoft.rate_limited'
  OTEL_TRACES_SAMPLER_ARG: string(tracesPerSecond)
}

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource plan 'Microsoft.Web/serverfarms@2025-05-01' = {
  name: name
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource app 'Microsoft.Web/sites@2025-05-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'dicom' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    keyVaultReferenceIdentity: identityId
    httpsOnly: true
    // Requests, and the events of the account, come from the internet: Event Grid cannot reach a private app.
    publicNetworkAccess: 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${endpoints.blob}deployment'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReady
        triggers: {
          http: {
            perInstanceConcurrency: httpConcurrency
          }
        }
      }
    }
  }

  // Publishing is by tokens as well.
  resource ftpPasswords 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: {
      allow: false
    }
  }

  resource scmPasswords 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: {
      allow: false
    }
  }

  resource appSettings 'config' = {
    name: 'appsettings'
    properties: union(platform, openTelemetry ? telemetry : {}, connections, settings)
  }
}

@description('Name of the app.')
output name string = app.name

@description('Where it answers.')
output url string = 'https://${app.properties.defaultHostName}'

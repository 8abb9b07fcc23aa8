metadata description = 'DICOM Functions in a resource group: reached by identities only, and free while no one calls.'

@description('Where everything is; a region that has Flex Consumption.')
param location string = resourceGroup().location

@description('What all names begin with: lower-case letters and digits, a letter first.')
@minLength(3)
@maxLength(11)
param name string = 'dicom'

@description('Tags of every resource.')
param tags object = {}

@description('Who may call: holders of tokens, or holders of a function key. The service answers no one else in Azure.')
@allowed(['entra', 'function-key'])
param authentication string = 'entra'

@description('Who issues the tokens: the issuer that OpenID Connect discovery names. The tenant, unless said otherwise.')
param issuer string = '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'

@description('Whom the tokens are for: the application ID of the registration. Tokens are refused while it is empty.')
param audience string = ''

@description('Origins whose pages may call, separated by commas; * for all, empty for none.')
param corsOrigins string = ''

@description('What URLs in answers begin with, if another name than the app\'s own leads to it: https://dicom.example.org.')
param publicUrl string = ''

@description('Version of Python: the one that the tests run on. It must be that of the machine that publishes.')
@allowed(['3.11', '3.12', '3.13'])
param pythonVersion string = '3.11'

@description('Memory of an instance in MB; a core comes with 2048.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Most instances of a group of functions: what a burst may cost at most.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Requests that an instance takes at a time. The platform\'s default for Python is 1, which costs many times as much.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int = 32

@description('Instances that are always ready for requests; each is billed all day.')
@minValue(0)
param alwaysReadyHttp int = 0

@description('Instances that are always ready for blob triggers; each is billed all day.')
@minValue(0)
param alwaysReadyBlob int = 0

@description('Spread instances over the zones of the region; always-ready counts are then 0 or at least 2.')
param zoneRedundant bool = false

@description('Largest request body in bytes; the platform takes no more than 210 MB.')
@minValue(1048576)
@maxValue(220200960)
param bodySizeLimit int = 220200960

// Each run is billed as at least one second of an instance: each minute, that is 86,000 GB-s a month of 2 GB.
@description('When to index and to finish what was broken off: six fields. At least every 20 minutes, or an alert says that it stopped.')
param sweepSchedule string = '0 */5 * * * *'

@description('Hours that deleted and replaced instances can still be restored by an operator.')
@minValue(1)
@maxValue(99999)
param retentionHours int = 24

@description('Make an Event Grid topic, and publish changes of instances to it.')
param eventTopic bool = false

@description('Queue of the storage account that changes are put into, and that is made for them; empty for none.')
@maxLength(63)
param eventQueue string = ''

@description('Webhooks that are told of changes: URLs separated by commas. Their queries may be keys: they are in no deployment\'s history.')
@secure()
param eventWebhooks string = ''

@description('The schema of the events.')
@allowed(['CloudEventSchemaV1_0', 'EventGridSchema'])
param eventSchema string = 'CloudEventSchemaV1_0'

@description('Secret that events for webhooks are signed with; kept in a vault.')
@secure()
param eventSecret string = ''

@description('Base URL of the FHIR server that is told of studies; that of fhirServiceId, unless said otherwise; empty for none.')
param fhirUrl string = ''

@description('Resource ID of a FHIR service of Azure that the app may write to, in any resource group that you may assign roles in.')
param fhirServiceId string = ''

@description('How the app makes itself known to the FHIR server.')
@allowed(['identity', 'client-credentials', 'none'])
param fhirAuthentication string = 'identity'

@description('Scope of the tokens for the FHIR server, if it is not the default of its URL.')
param fhirScope string = ''

@description('Where tokens for the FHIR server are given out, for client-credentials.')
param fhirTokenUrl string = ''

@description('Who asks for them, for client-credentials.')
param fhirClientId string = ''

@description('The secret by which the tokens are asked for; kept in a vault.')
@secure()
param fhirClientSecret string = ''

@description('Identifier system of patient IDs whose issuer is not known.')
param fhirPatientSystem string = ''

@description('How often the account keeps the bytes: three times in one building, in three zones, or also in another region.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS', 'Standard_RAGRS', 'Standard_RAGZRS'])
param storageSku string = 'Standard_LRS'

@description('Days that blobs and containers that someone deleted by mistake can be restored; they are billed meanwhile.')
@minValue(1)
@maxValue(365)
param softDeleteDays int = 7

@description('Days after which instances move to the cool tier; 0 for never.')
@minValue(0)
param coolAfterDays int = 0

@description('Days after which rendered images are deleted; they are made again when someone asks.')
@minValue(1)
param renderedDays int = 30

@description('Put the storage behind private endpoints, reached from a virtual network that the app is in.')
param privateNetwork bool = false

@description('Address range of that network, at least a /24.')
param addressPrefix string = '10.80.0.0/24'

@description('Public addresses or ranges that may still reach the storage of a private network, as those of operators.')
param allowedAddresses array = []

@description('Days that logs are kept; up to 31 are free of charge.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('GB of logs a day after which no more are taken; -1 for no limit.')
param logDailyQuotaGb int = 1

@description('Send audit records as data, and traces: by OpenTelemetry. All records are kept, and cost CPU and logs.')
param openTelemetry bool = false

@description('Traces a second that are kept of an instance, with openTelemetry.')
@minValue(0)
@maxValue(1000)
param tracesPerSecond int = 5

@description('What is logged of each access to blobs, beside what the service logs itself.')
@allowed(['none', 'deletes', 'writes', 'all'])
param blobLogs string = 'deletes'

@description('Whom alerts are sent to; no alerts without an address.')
param alertEmail string = ''

@description('Studies waiting for the indexer all the time for half an hour, from which on someone is told.')
@minValue(1)
param backlogThreshold int = 100

var suffix = uniqueString(resourceGroup().id)
var appName = '${name}-${suffix}'
var storageName = '${name}${suffix}'
var vaultName = '${name}${suffix}'

// A secret has the name of its setting, which refers to it.
var secrets = {
  DicomEventSecret: eventSecret
  DicomFhirClientSecret: fhirClientSecret
}
var hasSecrets = !empty(eventSecret) || !empty(fhirClientSecret)
var secretOf = '@Microsoft.KeyVault(VaultName=${vaultName};SecretName='

// /subscriptions/{2}/resourceGroups/{4}/providers/Microsoft.HealthcareApis/workspaces/{8}/fhirservices/{10}
var fhirPath = split(fhirServiceId, '/')

var fhirServiceUrl = empty(fhirServiceId) ? '' : 'https://${fhirPath[8]}-${fhirPath[10]}.fhir.azurehealthcareapis.com'

// Where changes are published to.
var eventTargets = concat(
  eventTopic ? [changes.outputs.endpoint] : [],
  empty(eventQueue) ? [] : ['queue:${eventQueue}'],
  empty(eventWebhooks) ? [] : [eventWebhooks]
)

module identity 'modules/identity.bicep' = {
  name: 'identity'
  params: {
    name: appName
    location: location
    tags: tags
  }
}

module network 'modules/network.bicep' = if (privateNetwork) {
  name: 'network'
  params: {
    name: appName
    location: location
    tags: tags
    addressPrefix: addressPrefix
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    name: storageName
    location: location
    tags: tags
    sku: storageSku
    softDeleteDays: softDeleteDays
    coolAfterDays: coolAfterDays
    renderedDays: renderedDays
    isPrivate: privateNetwork
    allowedAddresses: allowedAddresses
    changesQueue: eventQueue
  }
}

module changes 'modules/changes.bicep' = if (eventTopic) {
  name: 'changes'
  params: {
    name: appName
    location: location
    tags: tags
    schema: eventSchema
    isPrivate: privateNetwork
  }
}

module vault 'modules/vault.bicep' = if (hasSecrets) {
  name: 'vault'
  params: {
    name: vaultName
    location: location
    tags: tags
    isPrivate: privateNetwork
    secrets: secrets
  }
}

module endpoints 'modules/endpoints.bicep' = if (privateNetwork) {
  name: 'endpoints'
  params: {
    name: appName
    location: location
    tags: tags
    storageId: storage.outputs.id
    vaultId: hasSecrets ? vault.outputs.id : ''
    changesTopicId: eventTopic ? changes.outputs.id : ''
    networkId: privateNetwork ? network.outputs.id : ''
    subnetId: privateNetwork ? network.outputs.endpointSubnetId : ''
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    name: appName
    location: location
    tags: tags
    retentionDays: logRetentionDays
    dailyQuotaGb: logDailyQuotaGb
  }
}

module topic 'modules/topic.bicep' = {
  name: 'topic'
  params: {
    name: appName
    location: location
    tags: tags
    storageId: storage.outputs.id
  }
}

module rbac 'modules/rbac.bicep' = {
  name: 'rbac'
  params: {
    storageName: storage.outputs.name
    insightsName: monitoring.outputs.insightsName
    appPrincipalId: identity.outputs.principalId
    topicPrincipalId: topic.outputs.principalId
    changesTopicName: eventTopic ? changes.outputs.name : ''
    vaultName: hasSecrets ? vault.outputs.name : ''
    fhirServiceId: fhirServiceId
  }
}

module app 'modules/app.bicep' = {
  name: 'app'
  params: {
    name: appName
    location: location
    tags: tags
    identityId: identity.outputs.id
    clientId: identity.outputs.clientId
    storageName: storage.outputs.name
    insightsName: monitoring.outputs.insightsName
    subnetId: privateNetwork ? network.outputs.appSubnetId : ''
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    httpConcurrency: httpConcurrency
    alwaysReadyHttp: alwaysReadyHttp
    alwaysReadyBlob: alwaysReadyBlob
    zoneRedundant: zoneRedundant
    openTelemetry: openTelemetry
    tracesPerSecond: tracesPerSecond
    settings: {
      DicomAuthentication: authentication
      DicomIssuer: issuer
      DicomAudience: audience
      DicomPublicUrl: publicUrl
      DicomCorsOrigins: corsOrigins
      DicomRetentionHours: string(retentionHours)
      DicomSweepSchedule: sweepSchedule
      DicomEventTargets: join(eventTargets, ',')
      DicomEventSchema: eventSchema
      DicomEventSecret: empty(eventSecret) ? '' : '${secretOf}DicomEventSecret)'
      DicomFhirUrl: empty(fhirUrl) && !empty(fhirServiceId) ? fhirServiceUrl : fhirUrl
      DicomFhirAuthentication: fhirAuthentication
      DicomFhirScope: fhirScope
      DicomFhirTokenUrl: fhirTokenUrl
      DicomFhirClientId: fhirClientId
      DicomFhirClientSecret: empty(fhirClientSecret) ? '' : '${secretOf}DicomFhirClientSecret)'
      DicomFhirPatientSystem: fhirPatientSystem
      FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: string(bodySizeLimit)
    }
  }
  dependsOn: [rbac, endpoints]
}

module diagnostics 'modules/diagnostics.bicep' = {
  name: 'diagnostics'
  params: {
    workspaceId: monitoring.outputs.workspaceId
    storageName: storage.outputs.name
    topicName: topic.outputs.name
    changesTopicName: eventTopic ? changes.outputs.name : ''
    vaultName: hasSecrets ? vault.outputs.name : ''
    blobLogs: blobLogs
  }
}

module alerts 'modules/alerts.bicep' = if (!empty(alertEmail)) {
  name: 'alerts'
  params: {
    name: appName
    location: location
    tags: tags
    email: alertEmail
    workspaceId: monitoring.outputs.workspaceId
    topicId: topic.outputs.id
    changesTopicId: eventTopic ? changes.outputs.id : ''
    hasSubscribers: !empty(eventTargets) || !empty(fhirUrl) || !empty(fhirServiceId)
    backlogThreshold: backlogThreshold
  }
}

@description('What a client is given: the root of the service.')
output url string = '${app.outputs.url}/v2'

@description('Name of the app, to publish to.')
output functionApp string = app.outputs.name

@description('Resource ID of the topic that changes are published to; empty if there is none.')
output eventTopicId string = eventTopic ? changes.outputs.id : ''

@description('Name of the storage account.')
output storageAccount string = storage.outputs.name

@description('The drop zone: what is put there is stored.')
output importUrl string = '${storage.outputs.blobEndpoint}import'

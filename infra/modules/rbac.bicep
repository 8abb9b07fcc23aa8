metadata description = 'Every role assignment: who may do what, by which built-in role.'

@description('Name of the storage account.')
param storageName string

@description('Name of the Application Insights component.')
param insightsName string

@description('Object ID of the app\'s identity.')
param appPrincipalId string

@description('Object ID of the event topic\'s identity.')
param topicPrincipalId string

@description('Name of the topic that changes are published to; empty for none.')
param changesTopicName string

@description('Name of the vault that has secrets; empty for none.')
param vaultName string

@description('Resource ID of the FHIR service that is told of studies; empty for none.')
param fhirServiceId string

// Built-in roles: what they are called, and what they are known by.
var roles = {
  'Storage Blob Data Owner': 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  'Storage Blob Data Contributor': 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  'Storage Queue Data Contributor': '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  'Storage Table Data Contributor': '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  'Monitoring Metrics Publisher': '3913510d-42f4-4e42-8a64-420c390055eb'
  'EventGrid Data Sender': 'd5a91429-5739-47e2-a06b-3470a27159e7'
  'Key Vault Secrets User': '4633458b-17de-408a-b874-0445c86b69e6'
  'FHIR Data Contributor': '5a1fc7df-4bf1-4951-a576-89034ee01acd'
}

var appOnAccount = [
  {
    role: 'Storage Blob Data Owner'
    why: 'instances and imports; the package, the keys and the locks of the Functions host'
  }
  {
    role: 'Storage Queue Data Contributor'
    why: 'blob triggers: the host passes events on through queues of its own, and poison messages to another; changes, where they go to a queue'
  }
  {
    role: 'Storage Table Data Contributor'
    why: 'the record, its journal, the search rows and the change feed; the diagnostic events of the Functions host'
  }
]

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName

  resource blobService 'blobServices' existing = {
    name: 'default'

    resource deadletter 'containers' existing = {
      name: 'deadletter'
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

// What is optional has a name all the same, which nothing reads.
resource changesTopic 'Microsoft.EventGrid/topics@2025-02-15' existing = {
  name: empty(changesTopicName) ? 'none' : changesTopicName
}

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' existing = {
  name: empty(vaultName) ? 'none' : vaultName
}

resource appRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for one in appOnAccount: {
  name: guid(account.id, appPrincipalId, roles[one.role])
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[one.role])
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    description: one.why
  }
}]

resource appTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, appPrincipalId, roles['Monitoring Metrics Publisher'])
  scope: insights
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Monitoring Metrics Publisher'])
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    description: 'logs and traces, which are taken from no one without a token'
  }
}

resource topicDeadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::blobService::deadletter.id, topicPrincipalId, roles['Storage Blob Data Contributor'])
  scope: account::blobService::deadletter
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Storage Blob Data Contributor'])
    principalId: topicPrincipalId
    principalType: 'ServicePrincipal'
    description: 'events that could not be delivered, and nothing else: this container only'
  }
}

resource appChanges 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(changesTopicName)) {
  name: guid(changesTopic.id, appPrincipalId, roles['EventGrid Data Sender'])
  scope: changesTopic
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['EventGrid Data Sender'])
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    description: 'changes of instances, for those who subscribe to them'
  }
}

resource appSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(vaultName)) {
  name: guid(vault.id, appPrincipalId, roles['Key Vault Secrets User'])
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Key Vault Secrets User'])
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    description: 'app settings that refer to secrets'
  }
}

// /subscriptions/{2}/resourceGroups/{4}/providers/Microsoft.HealthcareApis/workspaces/{8}/fhirservices/{10}
var fhirPath = split(fhirServiceId, '/')

module appFhir 'rbac_fhir.bicep' = if (!empty(fhirServiceId)) {
  name: 'rbac-fhir'
  scope: resourceGroup(
    empty(fhirServiceId) ? subscription().subscriptionId : fhirPath[2],
    empty(fhirServiceId) ? resourceGroup().name : fhirPath[4]
  )
  params: {
    workspaceName: empty(fhirServiceId) ? '' : fhirPath[8]
    serviceName: empty(fhirServiceId) ? '' : fhirPath[10]
    appPrincipalId: appPrincipalId
    roleId: roles['FHIR Data Contributor']
  }
}

metadata description = 'Every role assignment: who may do what, by which built-in role.'

@description('Name of the storage account.')
param storageName string

@description('Name of the Application Insights component.')
param insightsName string

@description('Object ID of the app\'s identity.')
param appPrincipalId string

@description('Object ID of the event topic\'s identity.')
param topicPrincipalId string

// Built-in roles: what they are called, and what they are known by.
var roles = {
  'Storage Blob Data Owner': 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  'Storage Blob Data Contributor': 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  'Storage Queue Data Contributor': '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  'Storage Table Data Contributor': '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  'Monitoring Metrics Publisher': '3913510d-42f4-4e42-8a64-420c390055eb'
}

var appOnAccount = [
  {
    role: 'Storage Blob Data Owner'
    why: 'instances and imports; the package, the keys and the locks of the Functions host'
  }
  {
    role: 'Storage Queue Data Contributor'
    why: 'blob triggers: the host passes events on through queues of its own, and poison messages to another'
  }
  {
    role: 'Storage Table Data Contributor'
    why: 'the record, its journal and the search rows; the diagnostic events of the Functions host'
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

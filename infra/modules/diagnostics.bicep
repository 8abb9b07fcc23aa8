metadata description = 'What the platform logs beside the service: access to blobs and secrets, and events that could not be delivered.'

@description('Resource ID of the workspace that takes the logs.')
param workspaceId string

@description('Name of the storage account.')
param storageName string

@description('Name of the event topic.')
param topicName string

@description('Name of the topic that changes are published to; empty for none.')
param changesTopicName string

@description('Name of the vault that has secrets; empty for none.')
param vaultName string

@description('Which accesses to blobs are logged: none, deletes, writes (and deletes) or all.')
param blobLogs string

var accesses = {
  none: []
  deletes: ['StorageDelete']
  writes: ['StorageDelete', 'StorageWrite']
  all: ['StorageDelete', 'StorageWrite', 'StorageRead']
}

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName

  resource blobService 'blobServices' existing = {
    name: 'default'
  }
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: topicName
}

// What is optional has a name all the same, which nothing reads.
resource changesTopic 'Microsoft.EventGrid/topics@2025-02-15' existing = {
  name: empty(changesTopicName) ? 'none' : changesTopicName
}

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' existing = {
  name: empty(vaultName) ? 'none' : vaultName
}

resource blobAccess 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (blobLogs != 'none') {
  name: 'access'
  scope: account::blobService
  properties: {
    workspaceId: workspaceId
    logs: [for category in accesses[blobLogs]: {
      category: category
      enabled: true
    }]
  }
}

resource deliveries 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'deliveries'
  scope: topic
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'DeliveryFailures'
        enabled: true
      }
    ]
  }
}

resource publications 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(changesTopicName)) {
  name: 'publications'
  scope: changesTopic
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'PublishFailures'
        enabled: true
      }
      {
        category: 'DeliveryFailures'
        enabled: true
      }
    ]
  }
}

resource secretAccess 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(vaultName)) {
  name: 'access'
  scope: vault
  properties: {
    workspaceId: workspaceId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      {
        category: 'AuditEvent'
        enabled: true
      }
    ]
  }
}

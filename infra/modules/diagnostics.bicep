metadata description = 'What the platform logs beside the service: access to blobs, and events that could not be delivered.'

@description('Resource ID of the workspace that takes the logs.')
param workspaceId string

@description('Name of the storage account.')
param storageName string

@description('Name of the event topic.')
param topicName string

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

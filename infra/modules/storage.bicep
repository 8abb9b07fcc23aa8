metadata description = 'The account that keeps everything: the bytes, the index, and what the Functions host needs.'

@description('Name of the account.')
param name string

@description('Where it is.')
param location string

@description('Its tags.')
param tags object

@description('How often it keeps the bytes, and where.')
param sku string

@description('Days that deleted blobs and containers can be restored.')
param softDeleteDays int

@description('Days after which instances move to the cool tier; 0 for never.')
param coolAfterDays int

@description('Days after which rendered images are deleted.')
param renderedDays int

@description('Whether only private endpoints, Azure\'s own services and the allowed addresses reach it.')
param isPrivate bool

@description('Public addresses or ranges that reach it all the same.')
param allowedAddresses array

@description('Queue that changes are put into; empty for none.')
param changesQueue string

// What the service keeps its data in: dicom_core.storage. The rest is of the platform.
var dataContainers = ['dicom', 'derived', 'import']
var platformContainers = ['deployment', 'deadletter']
var tables = ['studies', 'pending', 'search', 'due', 'feed', 'deliveries']
var queues = ['webjobs-blobtrigger-poison']

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: sku
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      // Event Grid writes its dead letters as one of Azure's own services.
      bypass: 'AzureServices'
      defaultAction: isPrivate ? 'Deny' : 'Allow'
      ipRules: [for address in allowedAddresses: {
        value: address
        action: 'Allow'
      }]
    }
  }
}

// Without versioning: a blob of the service is never written twice, so versions would keep nothing that soft delete does not.
resource blobService 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    isVersioningEnabled: false
    deleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
  }
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = [for container in concat(dataContainers, platformContainers): {
  parent: blobService
  name: container
  properties: {
    publicAccess: 'None'
  }
}]

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2025-06-01' = {
  parent: account
  name: 'default'
}

resource tableList 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-06-01' = [for table in tables: {
  parent: tableService
  name: table
}]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2025-06-01' = {
  parent: account
  name: 'default'
}

resource queueList 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-06-01' = [for queue in concat(queues, empty(changesQueue) ? [] : [changesQueue]): {
  parent: queueService
  name: queue
}]

// Nothing ages out of import/rejected: it may be the only copy that someone has.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'cool-instances'
          enabled: coolAfterDays > 0
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['dicom/']
            }
            actions: {
              baseBlob: {
                tierToCool: {
                  daysAfterModificationGreaterThan: max(coolAfterDays, 1)
                }
              }
            }
          }
        }
        {
          name: 'delete-rendered'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['derived/~rendered/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: renderedDays
                }
              }
            }
          }
        }
        {
          name: 'delete-dead-letters'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['deadletter/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: 30
                }
              }
            }
          }
        }
      ]
    }
  }
  dependsOn: [blobService]
}

@description('Resource ID of the account.')
output id string = account.id

@description('Name of the account.')
output name string = account.name

@description('Where its blobs are.')
output blobEndpoint string = account.properties.primaryEndpoints.blob

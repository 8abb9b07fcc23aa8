metadata description = 'The events of the storage account. Who is told of them is in events.bicep, which comes after publishing.'

@description('Name of the topic.')
param name string

@description('Where it is: where the account is.')
param location string

@description('Its tags.')
param tags object

@description('Resource ID of the account.')
param storageId string

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    source: storageId
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
}

@description('Resource ID of the topic.')
output id string = topic.id

@description('Name of the topic.')
output name string = topic.name

@description('Object ID of the identity by which it writes dead letters.')
output principalId string = topic.identity.principalId

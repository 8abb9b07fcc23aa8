metadata description = 'The topic that tells others of changes of instances. Who is told is their own affair: they subscribe to it.'

@description('Name of the topic.')
param name string

@description('Where it is.')
param location string

@description('Its tags.')
param tags object

@description('The schema that events are published in.')
param schema string

@description('Whether only a private endpoint may publish.')
param isPrivate bool

resource topic 'Microsoft.EventGrid/topics@2025-02-15' = {
  name: name
  location: location
  tags: tags
  properties: {
    inputSchema: schema
    // Events are taken by tokens of identities only.
    disableLocalAuth: true
    minimumTlsVersionAllowed: '1.2'
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
  }
}

@description('Resource ID of the topic.')
output id string = topic.id

@description('Name of the topic.')
output name string = topic.name

@description('Where events are published to.')
output endpoint string = topic.properties.endpoint
